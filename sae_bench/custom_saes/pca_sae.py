"""Principal components as an "SAE": a dense, exact baseline with as many latents as dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE, frozen_zeros
from sae_bench.errors import PrerequisiteError

_ROWS_PER_DIMENSION = 4


class PCASAE(BaseSAE):
    """Orthonormal components as decoder rows, most variance first; `encode(x) = (x - mean) @ W_enc`, any sign."""

    architecture = "pca"

    def __init__(
        self,
        d_in: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__(d_in, d_in, model_name, hook_layer, device, dtype, hook_name)
        self.mean = frozen_zeros(d_in, device=device, dtype=dtype)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return (x - self.mean) @ self.W_enc

    def decode(self, feature_acts: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return feature_acts @ self.W_dec + self.mean


@torch.no_grad()
def fit_pca(
    batches: Iterable[Float[Tensor, "_ D"]],
    *,
    model_name: str,
    hook_layer: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    hook_name: str | None = None,
    max_tokens: int | None = None,
) -> PCASAE:
    """Fit principal components to activations, batch by batch (scikit-learn's IncrementalPCA).

    Args:
        batches: (N, D) activations; N may differ and may be below D, no row is left out.
        max_tokens: stop after that many rows.
    Raises:
        PrerequisiteError: fewer rows than dimensions.
    """
    from sklearn.decomposition import IncrementalPCA

    model: IncrementalPCA | None = None
    for rows_ND in _large_batches(batches, max_tokens):
        if model is None:
            model = IncrementalPCA(n_components=rows_ND.shape[1])
        model.partial_fit(rows_ND)
    assert model is not None
    d_in = model.components_.shape[0]
    pca = PCASAE(d_in, model_name, hook_layer, device, dtype, hook_name)
    components_FD = torch.from_numpy(model.components_)
    pca.W_dec.copy_(components_FD)
    pca.W_enc.copy_(components_FD.T)
    pca.mean.copy_(torch.from_numpy(model.mean_))
    return pca


def _large_batches(batches: Iterable[Tensor], max_tokens: int | None) -> Iterator[np.ndarray]:
    """Rows regrouped into batches of at least D (in fact 4 D) rows, what remains joined to the last one."""
    waiting: list[np.ndarray] = []  # always one full batch is held back, so that the rest has something to join
    n_waiting = n_seen = 0
    for batch in batches:
        rows = batch.detach().to("cpu", torch.float64).reshape(-1, batch.shape[-1]).numpy()
        rows = rows if max_tokens is None else rows[: max_tokens - n_seen]
        n_seen += len(rows)
        size = _ROWS_PER_DIMENSION * batch.shape[-1]
        waiting.append(rows)
        n_waiting += len(rows)
        while n_waiting >= 2 * size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, n_waiting = [joined[size:]], n_waiting - size
        if max_tokens is not None and n_seen >= max_tokens:
            break
    d_in = waiting[0].shape[1] if waiting else 0
    if not waiting or n_seen < d_in:
        raise PrerequisiteError(
            f"a PCA of {d_in} dimensions needs at least {d_in} activations, {n_seen} were given. Use more corpus text."
        )
    yield np.concatenate(waiting)
