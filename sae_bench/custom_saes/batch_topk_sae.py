"""BatchTopK SAE: at inference, `relu((x - b_dec) @ W_enc + b_enc)` where it exceeds one global threshold.

Matryoshka BatchTopK SAEs encode in the same way: their groups matter in training only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.custom_saes.base_sae import ALL, BaseSAE, at_least_float32
from sae_bench.errors import SAELoadError, UsageError
from sae_bench.forwarding import forwarded


class BatchTopKSAE(BaseSAE):
    """BatchTopK SAE with its global threshold (Bussmann et al. 2024)."""

    architecture = "batch_topk"
    casts_blocks = True
    keeps_float32 = ("threshold",)
    use_threshold = True
    k: Tensor
    threshold: Tensor

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        k: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__(d_in, d_sae, model_name, hook_layer, device, dtype, hook_name)
        register_k(self, k, d_sae)
        register_threshold(self)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self.encode_latents(x, ALL)

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        return above_threshold(self._centred_pre_activations(x, latents), self.threshold)


def register_k(sae: BaseSAE, k: int, d_sae: int) -> int:
    """Keep the number of active latents as a buffer that moves and saves with the weights; returns it.

    Raises:
        UsageError: k is not between 1 and d_sae.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= d_sae:
        raise UsageError(f"k is {k!r}; it must be a whole number from 1 to d_sae ({d_sae}).")
    sae.register_buffer("k", torch.tensor(k, dtype=torch.int, device=sae.device))
    return k


def register_threshold(sae: nn.Module) -> None:
    """A scalar threshold buffer; -1 stands for "not set", as in the training library."""
    weight = sae.W_dec
    assert isinstance(weight, Tensor)
    sae.register_buffer("threshold", torch.tensor(-1.0, dtype=at_least_float32(weight.dtype), device=weight.device))


def _check_set(threshold: Tensor) -> None:
    """Raise if a threshold was never set; it is read from the device once, and again when it has been written to."""
    if getattr(threshold, "seen_at_version", None) == threshold._version:
        return
    if threshold < 0:
        raise SAELoadError(
            "this SAE encodes with a global threshold that is not set (it is negative): the checkpoint was saved "
            "before training estimated it. Take a later checkpoint."
        )
    threshold.seen_at_version = threshold._version  # type: ignore[attr-defined]


def above_threshold(pre: Float[Tensor, "*N F"], threshold: Float[Tensor, ""]) -> Float[Tensor, "*N F"]:
    """ReLU of the pre-activations above a scalar threshold, 0 else.

    Raises:
        SAELoadError: the threshold was never set.
    """
    _check_set(threshold)
    # one element, not a scalar: half-precision values would be compared with the scalar rounded to theirs
    return torch.where(pre > threshold.reshape(1), pre, 0)


__getattr__ = forwarded(
    __name__,
    "sae_bench.published.sae_loaders",
    "load_dictionary_learning_batch_topk_sae",
    "load_dictionary_learning_matryoshka_batch_topk_sae",
)
