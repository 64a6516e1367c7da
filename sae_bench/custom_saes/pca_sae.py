"""Principal components as an "SAE": a dense, exact baseline with as many latents as dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.atomic import atomic_path
from sae_bench.custom_saes.base_sae import SquareSAE, frozen_zeros
from sae_bench.custom_saes.files import download, read_safetensors, read_torch
from sae_bench.errors import PrerequisiteError, SAELoadError
from sae_bench.forwarding import forwarded

_ROWS_PER_DIMENSION = 4
_IN_FILES = ("W_enc", "W_dec", "mean")
_PUBLISHED_REPO = "canrager/lm_sae"
_PUBLISHED_FOLDER = "gemma-2-2b_pca_saes"


class PCASAE(SquareSAE):
    """Orthonormal components as decoder rows, most variance first; `encode(x) = (x - mean) @ W_enc`, any sign."""

    architecture = "pca"

    def add_parameters(self, d_sae: int, device: torch.device | str, dtype: torch.dtype) -> None:
        self.mean = frozen_zeros(d_sae, device=device, dtype=dtype)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return (x - self.mean) @ self.W_enc

    def decode(self, feature_acts: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return feature_acts @ self.W_dec + self.mean

    def save_state_dict(self, file_path: str | Path) -> None:
        """Write `W_enc`, `W_dec` and `mean` to one file: safetensors if it is called so, else of `torch.save`."""
        from safetensors.torch import save_file

        tensors = {name: getattr(self, name).detach().contiguous() for name in _IN_FILES}
        with atomic_path(Path(file_path)) as partial:
            if Path(file_path).suffix == ".safetensors":
                save_file(tensors, partial)
            else:
                torch.save(tensors, partial)

    @torch.no_grad()
    def load_from_file(self, file_path: str | Path) -> None:
        """Take the weights of a file: one on this machine, else that of this name among the published PCAs.

        Raises:
            SAELoadError: it cannot be read, lacks a tensor, or its tensors have another shape.
            PrerequisiteError: it is not here and the download failed.
        """
        path = Path(file_path)
        if not path.is_file():
            path = download(_PUBLISHED_REPO, f"{_PUBLISHED_FOLDER}/{file_path}", local_dir="downloaded_saes")
        tensors = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
        for name in _IN_FILES:
            own = getattr(self, name)
            if name not in tensors or tensors[name].shape != own.shape:
                got = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise SAELoadError(f"'{path}' has {got} for {name}, {tuple(own.shape)} is needed.")
            own.copy_(tensors[name])
        self.normalize_decoder()


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
    mean_D, components_FD = principal_components(batches, max_tokens=max_tokens)
    pca = PCASAE(len(mean_D), model_name, hook_layer, device, dtype, hook_name)
    set_components(pca, mean_D, components_FD)
    return pca


def principal_components(
    batches: Iterable[Float[Tensor, "_ D"]], *, max_tokens: int | None = None, rows_at_once: int | None = None
) -> tuple[Float[Tensor, " D"], Float[Tensor, "F D"]]:
    """Mean and principal components of activations, most variance first.

    Args:
        batches, max_tokens: as for `fit_pca`.
        rows_at_once: rows of one step of the incremental fit; None takes 4 D.
    Raises:
        PrerequisiteError: fewer rows than dimensions.
    """
    from sklearn.decomposition import IncrementalPCA

    model: IncrementalPCA | None = None
    for rows_ND in _large_batches(batches, max_tokens, rows_at_once):
        if model is None:
            model = IncrementalPCA(n_components=rows_ND.shape[1])
        model.partial_fit(rows_ND)
    assert model is not None
    return torch.from_numpy(model.mean_), torch.from_numpy(model.components_)


@torch.no_grad()
def set_components(pca: PCASAE, mean_D: Float[Tensor, " D"], components_FD: Float[Tensor, "F D"]) -> None:
    """Make principal components the weights of a PCA."""
    pca.W_dec.copy_(components_FD)
    pca.W_enc.copy_(components_FD.T)
    pca.mean.copy_(mean_D)


def _large_batches(batches: Iterable[Tensor], max_tokens: int | None, rows_at_once: int | None) -> Iterator[np.ndarray]:
    """Rows regrouped into batches of at least D (by default 4 D) rows, what remains joined to the last one."""
    waiting: list[np.ndarray] = []  # always one full batch is held back, so that the rest has something to join
    n_waiting = n_seen = 0
    for batch in batches:
        rows = batch.detach().to("cpu", torch.float64).reshape(-1, batch.shape[-1]).numpy()
        rows = rows if max_tokens is None else rows[: max_tokens - n_seen]
        n_seen += len(rows)
        d_in = batch.shape[-1]
        size = _ROWS_PER_DIMENSION * d_in if rows_at_once is None else max(rows_at_once, d_in)
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


__getattr__ = forwarded(__name__, "sae_bench.published.pca_fitting", "fit_PCA", "fit_PCA_gpu")
