"""The sweep over k and numbers of bins for one SAE: histograms, description lengths, reconstruction errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.mdl.bins import Bits, bin_of, bits, code_lengths, histograms, middle_of
from sae_bench.evals.mdl.codes import ActiveCodes, Decoder
from sae_bench.evals.mdl.consumer import KeptBatch, MDLConsumer, sum_by_block
from sae_bench.evals.mdl.eval_config import MDLEvalConfig


@dataclass(frozen=True)
class Reconstruction:
    """Squared error of the reconstruction, summed over coordinates and over the tokens of each block."""

    error_U: Float[Tensor, " U"]
    n_tokens: int
    d_out: int
    spread: float

    @property
    def mse_loss(self) -> float:
        """The published measure: root mean squared error of a coordinate, over the number of coordinates."""
        return math.sqrt(float(self.error_U.sum()) / (self.n_tokens * self.d_out)) / self.d_out

    @property
    def explained_variance(self) -> float:
        """1 - sum |x - x'|^2 / sum |x - E x|^2; NaN where the activations do not vary."""
        return 1 - float(self.error_U.sum()) / self.spread if self.spread > 0 else float("nan")


@dataclass(frozen=True)
class Setting:
    """One k and one number of bins."""

    k: int | None
    num_bins: int
    counts_FJ: Tensor
    bits: Bits
    binned: Reconstruction
    unbinned: Reconstruction
    within_threshold: bool
    reconstructs: bool


def sweep(consumer: MDLConsumer, member: Member, config: MDLEvalConfig) -> list[Setting]:
    """All settings, in the order of `num_bins_values` and within it of `k_values`."""
    setting_of = {(n, k): setting for k in config.k_values for n, setting in _of_k(consumer, member, config, k).items()}
    return [setting_of[n, k] for n in config.num_bins_values for k in config.k_values]


def choose(settings: Sequence[Setting]) -> Setting | None:
    """Choose the shortest description among settings that reconstruct, the first of equal ones; None if none does."""
    good = [setting for setting in settings if setting.reconstructs]
    return min(good, key=lambda setting: setting.bits.description_length, default=None)


def bits_per_block(consumer: MDLConsumer, member: Member, setting: Setting) -> Float[Tensor, " U"]:
    """Per block the bits of its tokens under the code that fits all tokens, summed: a setting's description length
    is their sum over the number of tokens."""
    lengths = code_lengths(setting.counts_FJ, consumer.n_tokens)
    nothing_active = float(lengths.inactive_F.sum())
    extra_FJ = lengths.active_FJ - lengths.inactive_F[:, None]
    ranges = consumer.ranges(member, setting.k)
    total_U = nothing_active * consumer.tokens_U
    for batch in consumer.batches(member):
        active = batch.active.largest(setting.k)
        bin_A = bin_of(ranges, active.latent_A, active.value_A, setting.num_bins).cpu()
        extra_A = extra_FJ[active.latent_A.long().cpu(), bin_A]
        block_A = batch.block_N[active.token_A.long().cpu()]
        total_U += sum_by_block(extra_A, block_A, len(total_U))
    return total_U


@torch.no_grad()
def _of_k(consumer: MDLConsumer, member: Member, config: MDLEvalConfig, k: int | None) -> dict[int, Setting]:
    decode, d_sae = Decoder(member.sae), int(member.sae.cfg.d_sae)
    ranges = consumer.ranges(member, k)
    n_blocks = len(consumer.tokens_U)
    unbinned_U = torch.zeros(n_blocks, dtype=torch.float64)
    binned_U = {n: torch.zeros_like(unbinned_U) for n in config.num_bins_values}
    counts = {n: torch.zeros(d_sae, n, dtype=torch.int64, device=ranges.low_F.device) for n in config.num_bins_values}
    for batch in consumer.batches(member):
        active = batch.active.largest(k)
        unbinned_U += _error_by_block(decode, batch, active, active.value_A, n_blocks)
        for n in config.num_bins_values:
            bin_A = bin_of(ranges, active.latent_A, active.value_A, n)
            counts[n] += histograms(active.latent_A, bin_A, d_sae, n)
            middle_A = middle_of(ranges, active.latent_A, bin_A, n)
            binned_U[n] += _error_by_block(decode, batch, active, middle_A, n_blocks)
    spread = float(consumer.spread_U(member.hook_name_out).sum())

    def reconstruction(error_U: Tensor) -> Reconstruction:
        return Reconstruction(error_U, consumer.n_tokens, int(member.sae.W_dec.shape[-1]), spread)

    unbinned = reconstruction(unbinned_U)
    return {n: _setting(config, k, n, counts[n], reconstruction(binned_U[n]), unbinned) for n in config.num_bins_values}


@torch.no_grad()
def error_without_latents(consumer: MDLConsumer, member: Member) -> Float[Tensor, " U"]:
    """Squared error of every block's tokens when no latent is active: what a skip path alone leaves over."""
    constant_1D = member.sae.decode(member.sae.W_dec.new_zeros(1, int(member.sae.cfg.d_sae))).float()
    total_U = torch.zeros(len(consumer.tokens_U), dtype=torch.float64)
    for batch in consumer.batches(member):
        error_N = (batch.target_ND.float() - constant_1D).pow(2).sum(dim=1)
        total_U += sum_by_block(error_N, batch.block_N, len(total_U))
    return total_U


def _error_by_block(
    decode: Decoder, batch: KeptBatch, active: ActiveCodes, value_A: Tensor, n_blocks: int
) -> Float[Tensor, " U"]:
    """Squared error of the tokens when `value_A` stands in the place of their active codes."""
    error_N = (batch.target_ND.float() - decode(active, value_A)).pow(2).sum(dim=1)
    return sum_by_block(error_N, batch.block_N, n_blocks)


def _setting(
    config: MDLEvalConfig, k: int | None, n_bins: int, counts_FJ: Tensor, binned: Reconstruction,
    unbinned: Reconstruction,
) -> Setting:  # fmt: skip
    within = binned.mse_loss < config.mse_epsilon_threshold
    min_share = config.min_explained_variance_kept
    enough = min_share is None or binned.explained_variance >= min_share * unbinned.explained_variance
    code_bits = bits(counts_FJ, binned.n_tokens)
    return Setting(k, n_bins, counts_FJ.cpu(), code_bits, binned, unbinned, within, within and enough)
