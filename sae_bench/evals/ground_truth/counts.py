"""What the pass over the samples adds up, sample block by sample block, which are the units of the error bars.

Shapes: B samples of a batch, U blocks of samples, F latents, G true features, D d_model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.interface import SparseCodes, decode_tokens
from sae_bench.custom_saes.loading import Member

MAX_BLOCKS = 100
"""Batches are joined to so many blocks at most."""

LEAST_NORM = 1e-6
"""Shorter activations have no shrinkage."""


@dataclass
class InputSums:
    """What depends on the samples alone, per block.

    Attributes:
        samples_U, measured_U: how many there are, and how many with a length that can be divided by.
        features_UG: on how many of them each feature is on.
        sum_UD, squares_U: sums of x - r and |x - r|^2, where r is near the mean, so that no digits are lost.
    """

    samples_U: Tensor
    measured_U: Tensor
    features_UG: Tensor
    sum_UD: Tensor
    squares_U: Tensor

    @classmethod
    def empty(cls, n_blocks: int, n_features: int, d_model: int) -> InputSums:
        """Zeros in float64."""
        shapes = ((), (), (n_features,), (d_model,), ())
        return cls(*(torch.zeros(n_blocks, *shape, dtype=torch.float64) for shape in shapes))

    @property
    def spread_U(self) -> Float[Tensor, " U"]:
        """Sum of |x - mean of all x|^2."""
        mean_D = self.sum_UD.sum(dim=0) / self.samples_U.sum()
        return self.squares_U - 2 * self.sum_UD @ mean_D + self.samples_U * mean_D.pow(2).sum()


@dataclass
class LatentSums:
    """What one SAE makes of the samples, per block.

    Attributes:
        active_UF: samples on which a latent is active.
        both_UF: of these, those on which its feature is on.
        error_U, shrinkage_U: sums of |x - x'|^2 and |x'| / |x|.
    """

    active_UF: Tensor
    both_UF: Tensor
    error_U: Tensor
    shrinkage_U: Tensor

    @classmethod
    def empty(cls, n_blocks: int, d_sae: int) -> LatentSums:
        """Zeros; counts are whole numbers."""
        counts = (torch.zeros(n_blocks, d_sae, dtype=torch.int32) for _ in range(2))
        return cls(*counts, *(torch.zeros(n_blocks, dtype=torch.float64) for _ in range(2)))


class GroundTruthConsumer:
    """Reads batches of samples and keeps the sums of every SAE.

    Args:
        on: numbers of samples -> which features are on, (B, G).
        nearest: SAE -> the feature that each of its latents is held against.
        n_samples, batch_size: how many samples come, and how many at once.
        n_features: of the model.
        reference_D: a vector near the mean activation.
    """

    def __init__(
        self,
        on: Callable[[Int[Tensor, " B"]], Bool[Tensor, "B G"]],
        nearest: Callable[[Member], Int[Tensor, " F"]],
        *,
        n_samples: int,
        batch_size: int,
        n_features: int,
        reference_D: Float[Tensor, " D"],
    ) -> None:
        self._on, self._nearest = on, nearest
        self._batch_size, self._reference_D = batch_size, reference_D.double()
        self._n_batches = -(-n_samples // batch_size)
        self.n_blocks = min(self._n_batches, MAX_BLOCKS)
        self.inputs = InputSums.empty(self.n_blocks, n_features, len(reference_D))
        self.latents: dict[str, LatentSums] = {}
        self.features: dict[str, Int[Tensor, " F"]] = {}
        self._on_BG: Tensor = torch.empty(0, 0, dtype=torch.bool)
        self._norm_B: Tensor = torch.empty(0)

    def on_activations(self, batch: ActivationBatch) -> None:
        block, sums = self._block_of(batch), self.inputs
        self._on_BG = self._on(batch.ids_BL.flatten())
        x_BD = next(iter(batch.x_BLD.values()))[:, 0].float()  # a synthetic model has one hook
        self._norm_B = x_BD.norm(dim=1)
        moved_BD = x_BD.double().cpu() - self._reference_D
        sums.samples_U[block] += len(x_BD)
        sums.measured_U[block] += (self._norm_B > LEAST_NORM).sum().cpu()
        sums.features_UG[block] += self._on_BG.sum(dim=0)
        sums.sum_UD[block] += moved_BD.sum(dim=0)
        sums.squares_U[block] += moved_BD.pow(2).sum()

    def on_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        if member.key not in self.latents:
            self.features[member.key] = self._nearest(member)
            self.latents[member.key] = LatentSums.empty(self.n_blocks, int(member.sae.cfg.d_sae))
        block, sums = self._block_of(batch), self.latents[member.key]
        active_BF = (codes if isinstance(codes, Tensor) else codes.to_dense()).cpu() != 0
        sums.active_UF[block] += active_BF.sum(dim=0, dtype=torch.int32)
        both_BF = active_BF & self._on_BG[:, self.features[member.key]]
        sums.both_UF[block] += both_BF.sum(dim=0, dtype=torch.int32)
        rebuilt_BD = decode_tokens(member.sae, codes).float()
        x_BD = batch.x_BLD[member.hook_name][:, 0].float()
        sums.error_U[block] += (x_BD - rebuilt_BD).double().pow(2).sum().cpu()
        measured_B = self._norm_B > LEAST_NORM
        share_B = rebuilt_BD.norm(dim=1)[measured_B] / self._norm_B[measured_B]
        sums.shrinkage_U[block] += share_B.double().sum().cpu()

    def on_batch_end(self, batch: ActivationBatch) -> None:
        del batch

    def drop(self, member: Member) -> None:
        self.latents.pop(member.key, None)

    def _block_of(self, batch: ActivationBatch) -> int:
        return batch.rows[0] // self._batch_size * self.n_blocks // self._n_batches
