"""Next-token loss and KL divergence of several branches against the original model.

With logits z and a normaliser c = logsumexp z, log p = z - c. The divergence of a branch q from the original p is
KL = sum_v p_v (log p_v - log q_v) = (sum_v p_v z_v - c) - (sum_v p_v z^q_v - c^q), and its loss is c^q - z^q[target]:
a branch costs one product with the unembedding, one logsumexp and one weighted sum, and equal branches give exactly
zero. All three are sums over the vocabulary, so they are taken part by part while the logits of the part are in the
processor's cache, relative to the largest logit so far (Milakov and Gimelshein 2018, "Online normalizer calculation
for softmax"); the logits of a token never exist as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.custom_saes.codes import values_at_once
from sae_bench.evals.core.blocks import ROWS_PER_BLOCK, widest_float
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.branches import run_branch
from sae_bench.language_models.hooks import parse_hook_name

PART_BYTES = {"cpu": 2 << 20}
"""Size of the float32 logits that are made together, by type of device."""
OTHER_PART_BYTES = 64 << 20
"""Elsewhere they take at least so much, and more where memory is free."""

TOKENS_OF_A_PART = {"cpu": 512}
"""Tokens whose logits are made together, for as many vocabulary entries as fit into a part, by type of device."""
OTHER_TOKENS_OF_A_PART = 4096

ROUNDING = {False: 1e-4, True: 3e-2}
"""How far equal hidden states may lie apart, relative to the largest entry, in full and in half precision."""


@dataclass
class BranchSums:
    """Sums over valid tokens of one branch, block by block of rows; on the device until they are asked for."""

    of_batches: list[Float[Tensor, "_ 2"]] = field(default_factory=list)

    def of_blocks(self) -> Float[Tensor, "U 2"]:
        """Divergence and loss of each block, in float64 on the CPU."""
        return torch.cat(self.of_batches).cpu().double() if self.of_batches else torch.zeros(0, 2).double()

    @property
    def kl(self) -> float:
        """Sum of the divergence from the original model."""
        return float(self.of_blocks()[:, 0].cumsum(0)[-1:].sum())

    @property
    def loss(self) -> float:
        """Sum of the next-token loss."""
        return float(self.of_blocks()[:, 1].cumsum(0)[-1:].sum())


@dataclass
class LossSums(BranchSums):
    """Sums of the original model, and how many tokens there were.

    `n_targets` is smaller than `n_tokens`: the last token of a row predicts nothing.
    """

    n_tokens: int = 0
    targets_of_batches: list[Int[Tensor, ""]] = field(default_factory=list)

    @property
    def n_targets(self) -> int:
        """Tokens that have a next one."""
        return int(sum(self.targets_of_batches))


def compare_branches(
    lm: LanguageModel,
    original_BLD: Float[Tensor, "B L D"],
    branches_BLD: Mapping[str, Float[Tensor, "B L D"]],
    constant_branches_V: Mapping[str, Float[Tensor, "V"]],
    ids_BL: Int[Tensor, "B L"],
    token_N: Int[Tensor, "N"],
    totals: LossSums,
    sums: Mapping[str, BranchSums],
) -> None:
    """Add one batch to `totals` and to the sums of every branch, without waiting for the device.

    Args:
        original_BLD, branches_BLD: final hidden states of the model and of each branch.
        constant_branches_V: logits of branches whose prediction depends neither on text nor position.
        ids_BL: token ids.
        token_N: place of each token that counts among the B x L.
        totals: of the original model.
        sums: of each branch by its name.
    """
    n_rows, length = ids_BL.shape
    targets_BL = torch.cat([ids_BL[:, 1:], ids_BL[:, :1]], dim=1)
    target_N, has_target_N = targets_BL.flatten()[token_N], token_N % length != length - 1
    block_N, n_blocks = token_N // (length * ROWS_PER_BLOCK), -(-n_rows // ROWS_PER_BLOCK)
    original_ND = original_BLD.flatten(0, 1)[token_N]
    hidden = {name: h_BLD.flatten(0, 1)[token_N] for name, h_BLD in branches_BLD.items()}
    log_q_V = {name: torch.log_softmax(logits_V.float(), dim=-1) for name, logits_V in constant_branches_V.items()}
    none_U2 = torch.zeros(n_blocks, 2, dtype=widest_float(ids_BL.device), device=ids_BL.device)
    model_U2, added = none_U2.clone(), {name: none_U2.clone() for name in (*hidden, *log_q_V)}
    tokens_at_once, n_entries = _part_size(lm, len(token_N))
    for part in _parts(block_N, n_blocks, tokens_at_once):
        target, counts, block = target_N[part], has_target_N[part], block_N[part]
        comparison = _Comparison(target, hidden, log_q_V)
        of_model, *of_branches = (lm.unembed_in_parts(h[part], n_entries) for h in (original_ND, *hidden.values()))
        for entries, z_NP in of_model:
            comparison.add(entries, z_NP.float(), (next(logits)[1].float() for logits in of_branches))
        _add_by_block(model_U2[:, 1], comparison.model.log_prob_N(), block, counts)
        for name, log_prob_N, kl_N in comparison.results():
            _add_by_block(added[name][:, 0], kl_N, block)
            _add_by_block(added[name][:, 1], log_prob_N, block, counts)
    totals.n_tokens += len(token_N)
    totals.targets_of_batches.append(has_target_N.sum())
    for branch, sums_U2 in ((totals, model_U2), *((sums[name], of_name) for name, of_name in added.items())):
        sums_U2[:, 1].neg_()  # of log-probabilities to a loss
        branch.of_batches.append(sums_U2)


def _part_size(lm: LanguageModel, n_tokens: int) -> tuple[int, int]:
    """Tokens and vocabulary entries whose logits are made together."""
    device = lm.device
    if not lm.unembeds_in_parts:
        return max(1, values_at_once(device, OTHER_PART_BYTES // 4) // lm.d_vocab), lm.d_vocab
    tokens = TOKENS_OF_A_PART.get(device.type) or max(1, min(n_tokens, OTHER_TOKENS_OF_A_PART))
    floats = (
        PART_BYTES[device.type] // 4 if device.type in PART_BYTES else values_at_once(device, OTHER_PART_BYTES // 4)
    )
    return tokens, max(1, floats // tokens)


def _parts(block_N: Int[Tensor, "N"], n_blocks: int, tokens_at_once: int) -> Iterator[slice]:
    """Neighbouring tokens whose logits are made together; on a CPU they are of one block."""
    on_cpu = block_N.device.type == "cpu"
    sizes = torch.bincount(block_N, minlength=n_blocks).tolist() if on_cpu else [len(block_N)]
    start = 0
    for size in sizes:
        for first in range(start, start + size, tokens_at_once):
            yield slice(first, min(first + tokens_at_once, start + size))
        start += size


def _add_by_block(
    sums_U: Float[Tensor, " U"],
    x_N: Float[Tensor, "N"],
    block_N: Int[Tensor, "N"],
    counts_N: Bool[Tensor, "N"] | None = None,
) -> None:
    """Add a value per token to the sum of the token's block; on a CPU all tokens are of one block."""
    if x_N.device.type == "cpu":
        sums_U[block_N[0]] += (x_N if counts_N is None else x_N[counts_N]).double().sum()
    else:
        x_N = x_N if counts_N is None else torch.where(counts_N, x_N, 0.0)
        sums_U.index_add_(0, block_N, x_N.to(sums_U.dtype))


class _Softmax:
    """Normaliser and target's logit of N tokens, from logits that come in parts of the vocabulary."""

    def __init__(self, target_N: Int[Tensor, "N"]) -> None:
        self.target_N = target_N
        self.peak_N = torch.full(target_N.shape, -torch.inf, device=target_N.device)
        self.total_N = torch.zeros(target_N.shape, device=target_N.device)
        self.target_logit_N = torch.zeros(target_N.shape, device=target_N.device)

    def add(self, entries: slice, z_NP: Float[Tensor, "N P"]) -> tuple[Float[Tensor, "N P"], Float[Tensor, "N"]]:
        """Add logits z; returns their weights exp(z - peak), and the factor that rescales sums of earlier weights."""
        peak_N = torch.maximum(self.peak_N, z_NP.amax(dim=-1))
        shrink_N = (self.peak_N - peak_N).exp_()
        weight_NP = torch.sub(z_NP, peak_N[:, None]).exp_()
        self.peak_N = peak_N
        self.total_N = self.total_N * shrink_N + weight_NP.sum(dim=-1)
        entry_N = self.target_N - entries.start
        here_N = (entry_N >= 0) & (entry_N < z_NP.shape[1])
        logit_N = z_NP.gather(1, entry_N.clamp(0, z_NP.shape[1] - 1)[:, None])[:, 0]
        self.target_logit_N = torch.where(here_N, logit_N, self.target_logit_N)
        return weight_NP, shrink_N

    def normaliser_N(self) -> Float[Tensor, "N"]:
        return self.peak_N + self.total_N.log()

    def log_prob_N(self) -> Float[Tensor, "N"]:
        """Log-probability of the target."""
        return self.target_logit_N - self.normaliser_N()


class _Comparison:
    """Compares next-token predictions of the model (p) and of every branch (q) on N tokens, vocabulary part by part."""

    def __init__(self, target_N: Tensor, branches: Iterable[str], log_q_V: Mapping[str, Float[Tensor, "V"]]) -> None:
        self.model = _Softmax(target_N)
        self.branches = {name: _Softmax(target_N) for name in branches}
        self.log_q_V = log_q_V
        self.own_N = torch.zeros_like(self.model.total_N)
        self.expected_N = {name: torch.zeros_like(self.own_N) for name in (*self.branches, *log_q_V)}

    def add(self, entries: slice, z_NP: Float[Tensor, "N P"], branches_NP: Iterable[Float[Tensor, "N P"]]) -> None:
        """Take the logits of one part of the vocabulary, those of the branches in their order, one after the other."""
        weight_NP, shrink_N = self.model.add(entries, z_NP)
        self.own_N = self.own_N * shrink_N + torch.linalg.vecdot(weight_NP, z_NP)
        for (name, softmax), zq_NP in zip(self.branches.items(), branches_NP, strict=True):
            softmax.add(entries, zq_NP)
            self.expected_N[name] = self.expected_N[name] * shrink_N + torch.linalg.vecdot(weight_NP, zq_NP)
        for name, log_q_V in self.log_q_V.items():
            self.expected_N[name] = self.expected_N[name] * shrink_N + weight_NP @ log_q_V[entries]

    def results(self) -> Iterator[tuple[str, Float[Tensor, "N"], Float[Tensor, "N"]]]:
        """Name, log-probability of the target and divergence of every branch."""
        negative_entropy_N = self.own_N / self.model.total_N - self.model.normaliser_N()
        for name, softmax in self.branches.items():
            expected_N = self.expected_N[name] / self.model.total_N - softmax.normaliser_N()
            yield name, softmax.log_prob_N(), negative_entropy_N - expected_N
        for name, log_q_V in self.log_q_V.items():
            expected_N = self.expected_N[name] / self.model.total_N
            yield name, log_q_V[self.model.target_N], negative_entropy_N - expected_N


def zero_stream_logits(lm: LanguageModel, hook: str) -> Float[Tensor, "V"] | None:
    """Logits when a residual stream is all zeros: the same at every position of every text.

    From a zero stream on, all positions hold the same vector, so attention averages equal values whatever its
    weights and positions are: one vector stands for all. Models for which that does not hold (attention sinks, inputs
    to each layer that depend on the token) are found by trying eight tokens; they get None.
    """
    point = parse_hook_name(hook)
    ids = torch.arange(8, device=lm.device).view(2, 4)
    zeros = torch.zeros((2, 4, lm.d_model), dtype=lm.dtype, device=lm.device)
    start = Resume(point.first_downstream_layer, zeros)
    hidden_BLD = run_branch(lm, point, ids, start, zeros)
    tolerance = ROUNDING[lm.dtype in (torch.bfloat16, torch.float16)] * float(hidden_BLD.abs().max())
    if float((hidden_BLD - hidden_BLD[0, 0]).abs().max()) > tolerance:
        return None
    return lm.unembed(hidden_BLD[0, 0])
