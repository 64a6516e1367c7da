"""Mergeable sums behind the core metrics: reconstruction, shrinkage, sparsity and densities.

N valid tokens of a batch, D d_model, F latents. Sums are float64, so batches add up exactly enough in any order.
They stay on the device until they are asked for: no batch waits for a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.codes import SparseCodes, is_wide
from sae_bench.evals.core.blocks import sums_by_block, widest_float

Sum = float | Tensor
"""A sum over batches: nothing yet, or a float64 number on the device."""

ROW_BY_ROW = ("cpu",)
"""Devices on which the active latents of dense codes are counted row by row, which reads how long the rows are."""


@dataclass
class TargetStatistics:
    """What depends on the activations alone: shared by all SAEs that write at a hook.

    `distance_to_batch_mean_N` of the newest batch is kept for the legacy explained variance.
    """

    n_tokens: int = 0
    n_batches: int = 0
    norm: Sum = 0.0
    distance_to_batch_means: Sum = 0.0
    squared_batch_means: Sum = 0.0
    sum_D: Tensor | None = None
    norm_N: Tensor = field(default_factory=lambda: torch.empty(0))
    distance_to_batch_mean_N: Tensor = field(default_factory=lambda: torch.empty(0))

    def update(self, x_ND: Float[Tensor, "N D"]) -> None:
        """Add the valid tokens of one batch, of which there must be some."""
        x = x_ND.float()
        self.n_tokens += len(x)
        self.n_batches += 1
        self.norm_N = x.norm(dim=-1)
        self.distance_to_batch_mean_N = (x - x.mean(dim=0)).pow(2).sum(dim=-1)
        self.norm += _total(self.norm_N)
        self.distance_to_batch_means += _total(self.distance_to_batch_mean_N)
        total_D = x.sum(dim=0, dtype=widest_float(x.device))
        self.squared_batch_means += _total(total_D.pow(2)) / len(x)
        self.sum_D = total_D if self.sum_D is None else self.sum_D + total_D

    @property
    def total_variance(self) -> float:
        """E|x - E x|^2 over all tokens: the variance within batches and that of their means.

        Not E|x|^2 - |E x|^2, which loses every digit where a few dimensions are large and constant.
        """
        if self.sum_D is None:
            return float("nan")
        between = float(self.squared_batch_means - _total(self.sum_D.pow(2)) / self.n_tokens)
        return (float(self.distance_to_batch_means) + max(between, 0.0)) / self.n_tokens


@dataclass
class ReconstructionStatistics:
    """Sums over the tokens of one SAE; `compute` turns them into the published fields."""

    d_sae: int
    n_tokens: int = 0
    n_batches: int = 0
    norm_out: Sum = 0.0
    norm_ratio: Sum = 0.0
    bias_of_batches: Sum = 0.0
    l0: Sum = 0.0
    l1: Sum = 0.0
    squared_error: Sum = 0.0
    squared_error_over_batch_tokens: Sum = 0.0
    legacy_explained: Sum = 0.0
    cosine: Sum = 0.0
    tokens_active_F: Tensor | None = None
    rows_active_F: Tensor | None = None
    blocks: list[Float[Tensor, "_ W"]] = field(default_factory=list)

    def update(
        self,
        targets: TargetStatistics,
        x_ND: Float[Tensor, "N D"],
        reconstruction_ND: Float[Tensor, "N D"],
        codes: SparseCodes | Tensor,
        row_N: Int[Tensor, "N"],
        n_rows: int,
    ) -> None:
        """Add one batch; `targets` has just seen the same tokens."""
        x, x_hat = x_ND.float(), reconstruction_ND.float()
        self.n_tokens += len(x)
        self.n_batches += 1
        norm_out_N = x_hat.norm(dim=-1)
        error_N = (x - x_hat).pow(2).sum(dim=-1)
        dot_N = (x * x_hat).sum(dim=-1)
        safe_norm_N = torch.where(targets.norm_N < 1e-4, 1.0, targets.norm_N)
        self.norm_out += _total(norm_out_N)
        self.norm_ratio += _total(norm_out_N / safe_norm_N)
        dot = _total(dot_N)
        self.bias_of_batches += torch.where(dot == 0, float("nan"), _total(norm_out_N.pow(2)) / dot)
        squared_error = _total(error_N)
        self.squared_error += squared_error
        self.squared_error_over_batch_tokens += squared_error / len(x)
        self.legacy_explained += _total(1 - error_N / targets.distance_to_batch_mean_N)
        cosine_N = dot_N / (targets.norm_N * norm_out_N)
        self.cosine += _total(cosine_N)
        values = codes.values_NK if isinstance(codes, SparseCodes) else codes
        active_N = torch.count_nonzero(values, dim=1)
        self.l0 += active_N.sum()
        columns = (active_N, error_N, targets.distance_to_batch_mean_N, norm_out_N / safe_norm_N, cosine_N)
        self.blocks.append(sums_by_block(columns, row_N, n_rows))
        self.l1 += _total(values)
        self._add_densities(*activity(codes, row_N, n_rows, self.d_sae))

    def _add_densities(self, tokens_F: Int[Tensor, "F"], rows_F: Int[Tensor, "F"]) -> None:
        self.tokens_active_F = tokens_F if self.tokens_active_F is None else self.tokens_active_F + tokens_F
        self.rows_active_F = rows_F if self.rows_active_F is None else self.rows_active_F + rows_F

    def shrinkage(self, targets: TargetStatistics) -> dict[str, float]:
        """Norms of input and output, and the reconstruction bias averaged over batches."""
        return {
            "l2_norm_in": float(targets.norm) / self.n_tokens,
            "l2_norm_out": float(self.norm_out) / self.n_tokens,
            "l2_ratio": float(self.norm_ratio) / self.n_tokens,
            "relative_reconstruction_bias": float(self.bias_of_batches) / self.n_batches,
        }

    def sparsity(self) -> dict[str, float]:
        """Mean L0 and L1 of a token."""
        return {"l0": float(self.l0) / self.n_tokens, "l1": float(self.l1) / self.n_tokens}

    def quality(self, targets: TargetStatistics) -> dict[str, float]:
        """Explained variance (right and legacy), MSE (published and per token), cosine."""
        variance = targets.total_variance
        mse = float(self.squared_error) / self.n_tokens
        return {
            "explained_variance": 1 - mse / variance if variance > 0 else float("nan"),
            "explained_variance_legacy": float(self.legacy_explained) / self.n_tokens,
            "mse": float(self.squared_error_over_batch_tokens) / self.n_tokens,
            "mse_per_token": mse,
            "cossim": float(self.cosine) / self.n_tokens,
        }

    def densities(self) -> tuple[Float[Tensor, "F"], Float[Tensor, "F"]]:
        """Share of tokens on which a latent is active, and active tokens per row that has any (NaN if none has)."""
        assert self.tokens_active_F is not None
        assert self.rows_active_F is not None
        tokens_F = self.tokens_active_F.double().cpu()
        return tokens_F / self.n_tokens, tokens_F / self.rows_active_F.double().cpu()


def active_per_row(codes: SparseCodes | Tensor, row_N: Int[Tensor, "N"], n_rows: int, d_sae: int) -> Int[Tensor, "R F"]:
    """In how many tokens of each row a latent is active (not 0); never more than one row's booleans at a time."""
    if isinstance(codes, SparseCodes):
        flat_NK = row_N[:, None] * d_sae + codes.indices_NK
        counts = torch.zeros(n_rows * d_sae, dtype=torch.long, device=flat_NK.device)
        return counts.index_add_(0, flat_NK.flatten(), (codes.values_NK != 0).flatten().long()).view(n_rows, d_sae)
    if codes.device.type in ROW_BY_ROW:
        counts_of_rows = torch.bincount(row_N, minlength=n_rows).tolist()
        return torch.stack([(part != 0).sum(dim=0) for part in codes.split(counts_of_rows)])
    counts_RF = torch.zeros(n_rows, d_sae, device=codes.device)  # float32 counts exactly as far as there are tokens
    return counts_RF.index_add_(0, row_N, (codes != 0).float()).long()


def activity(
    codes: SparseCodes | Tensor, row_N: Int[Tensor, "N"], n_rows: int, d_sae: int
) -> tuple[Int[Tensor, "F"], Int[Tensor, "F"]]:
    """In how many tokens, and in how many rows, each latent is active; of wide SAEs, no number per row and latent."""
    if not (isinstance(codes, SparseCodes) and is_wide(d_sae)):
        active_RF = active_per_row(codes, row_N, n_rows, d_sae)
        return active_RF.sum(dim=0), (active_RF > 0).sum(dim=0)
    token_A, latent_A, _ = codes.entries()
    in_row_U = torch.unique(row_N[token_A] * d_sae + latent_A)
    return torch.bincount(latent_A, minlength=d_sae), torch.bincount(in_row_U % d_sae, minlength=d_sae)


def summarise_densities(density_F: Float[Tensor, "F"]) -> dict[str, float]:
    """The published summaries of the latents' densities."""
    density = density_F.double()
    total = float(density.sum())

    def share_of_activity(threshold: float) -> float:
        return float(density[density > threshold].sum()) / total if total > 0 else 0.0

    return {
        "frac_alive": float((density > 0).double().mean()),
        "freq_over_1_percent": float((density > 0.01).double().mean()),
        "freq_over_10_percent": float((density > 0.1).double().mean()),
        "normalized_freq_over_1_percent": share_of_activity(0.01),
        "normalized_freq_over_10_percent": share_of_activity(0.1),
    }


def _total(x: Tensor) -> Tensor:
    total = x.sum(dtype=widest_float(x.device))
    return total.cpu().double() if x.device.type == "mps" else total  # MPS has no float64 to add batches up in
