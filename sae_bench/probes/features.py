"""What probes read: a (T, F) matrix of one row per text, dense or sparse inside."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class FeatureMatrix(Protocol):
    """One row of features per text; problems name rows by index, so the rows are never copied per problem."""

    @property
    def shape(self) -> tuple[int, int]:
        """(T, F)."""
        ...

    def rows(self, index_T: Tensor) -> Tensor:
        """Dense float32 (len(index), F)."""
        ...

    def columns(self, index_T: Tensor, latents_K: Tensor) -> Tensor:
        """Dense float32 (len(index), K)."""
        ...

    def mean(self, index_T: Tensor) -> Tensor:
        """(F,) float64 mean over those rows."""
        ...


class DenseFeatures:
    """A `FeatureMatrix` over a dense tensor, which is read and never changed."""

    def __init__(self, x_TF: Float[Tensor, "T F"]) -> None:
        self.x_TF = x_TF.detach().float()

    @property
    def shape(self) -> tuple[int, int]:
        """(T, F)."""
        return self.x_TF.shape[0], self.x_TF.shape[1]

    def rows(self, index_T: Int[Tensor, " N"]) -> Float[Tensor, "N F"]:
        """The rows at `index_T`."""
        return self.x_TF.index_select(0, index_T.to(self.x_TF.device))

    def columns(self, index_T: Int[Tensor, " N"], latents_K: Int[Tensor, " K"]) -> Float[Tensor, "N K"]:
        """The columns `latents_K` of the rows at `index_T`."""
        device = self.x_TF.device
        return self.x_TF[index_T.to(device)[:, None], latents_K.to(device)[None, :]]

    def mean(self, index_T: Int[Tensor, " N"]) -> Float[Tensor, " F"]:
        """The mean of the rows at `index_T`, summed in float64 (on the CPU where the device has none)."""
        rows_NF = self.rows(index_T)
        if rows_NF.device.type == "mps":
            rows_NF = rows_NF.cpu()
        return rows_NF.mean(dim=0, dtype=torch.float64)
