"""The published functions that fit a PCA to the activations of a model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.custom_saes.pca_sae import PCASAE, principal_components, set_components
from sae_bench.language_models import LanguageModel


@torch.no_grad()
def fit_PCA(
    pca: PCASAE, model: LanguageModel, tokens_BL: Int[Tensor, "B L"], llm_batch_size: int, pca_batch_size: int
) -> PCASAE:
    """Fit a PCA to the activations of all tokens at its hook, and save it as `pca_<model>_<hook>.pt`.

    Args:
        pca: whose weights are set; its `cfg.hook_name` says where the model is read.
        tokens_BL: token ids, B texts of L.
        llm_batch_size: texts that the model reads at once.
        pca_batch_size: tokens of one step of the incremental fit.
    Returns:
        `pca` itself.
    Raises:
        PrerequisiteError: fewer tokens than dimensions.
    """
    hook = pca.cfg.hook_name

    def activations() -> Iterator[Tensor]:
        for ids_BL in tokens_BL.split(llm_batch_size):
            yield model.capture(ids_BL.to(model.device), [hook])[hook].flatten(0, 1)

    set_components(pca, *principal_components(activations(), rows_at_once=pca_batch_size))
    pca.save_state_dict(f"pca_{pca.cfg.model_name.replace('/', '_')}_{hook}.pt")
    return pca


fit_PCA_gpu = fit_PCA
"""The same: the model runs on its device, the fit itself is small."""
