"""Transcoders: they read activations at one hook and predict those at another (Dunefsky et al. 2024).

`y = f @ W_dec + b_dec`, plus `x @ W_skip.T` for a skip transcoder (Paulo et al. 2025). Unlike in an SAE, `b_dec` is of
the output and is not subtracted from the input. Shapes: N tokens, D d_in, O d_out, F latents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.custom_saes.base_sae import ALL, BaseSAE, SAEArguments, affine, at_least_float32, frozen_zeros
from sae_bench.custom_saes.batch_topk_sae import register_k
from sae_bench.custom_saes.codes import SparseCodes, is_wide, largest, largest_by_blocks
from sae_bench.custom_saes.custom_sae_config import TranscoderConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack

CROSS_LAYER = (
    "this is one layer of a cross-layer transcoder, whose latents write to all later layers: its decoder here is the "
    "sum over those layers"
)
"""Why the reconstruction of such a layer means nothing."""


class TranscoderArguments(SAEArguments, total=False):
    """What every transcoder is built from, by name."""

    d_out: int | None
    hook_name_out: str | None
    skip: bool


class Transcoder(BaseSAE):
    """ReLU transcoder: `f = relu(x @ W_enc + b_enc)`.

    `decode` gives the part that the latents write; calling the transcoder adds the skip path.
    """

    architecture = "transcoder"
    casts_blocks = True
    W_skip: nn.Parameter | None

    def __init__(
        self,
        *,
        d_out: int | None = None,
        hook_name_out: str | None = None,
        skip: bool = False,
        **common: Unpack[SAEArguments],
    ) -> None:
        super().__init__(**common)
        d_in, d_sae, device, dtype = common["d_in"], common["d_sae"], common["device"], common["dtype"]
        d_out = d_in if d_out is None else d_out
        self.W_dec = frozen_zeros(d_sae, d_out, device=device, dtype=dtype)
        self.b_dec = frozen_zeros(d_out, device=device, dtype=dtype)
        self.W_skip = frozen_zeros(d_out, d_in, device=device, dtype=dtype) if skip else None
        known = vars(self.cfg)
        if skip:
            known["architecture"] = self.architecture.replace("transcoder", "skip_transcoder")
        self.cfg = TranscoderConfig(**known, hook_name_out=hook_name_out or self.cfg.hook_name, d_out=d_out)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self.encode_latents(x, ALL)

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        return torch.relu(self._pre_activations(x, latents))

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N O"]:
        """Predictions of the activations at the output hook."""
        decoded = self.decode(self.encode(x))
        return decoded if self.W_skip is None else decoded + x @ self.W_skip.T


class JumpReluTranscoder(Transcoder):
    """JumpReLU transcoder (Gemma Scope): pre-activations that exceed a threshold per latent, as they are."""

    architecture = "jumprelu_transcoder"
    keeps_float32 = ("threshold",)

    def add_parameters(self, d_sae: int, device: torch.device | str, dtype: torch.dtype) -> None:
        self.threshold = frozen_zeros(d_sae, device=device, dtype=at_least_float32(dtype))

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        pre = self._pre_activations(x, latents)
        return torch.where(pre > self.threshold[latents], torch.relu(pre), 0)


class CrossLayerTranscoder(Transcoder):
    """What a cross-layer transcoder writes at one layer: the latents of I layers, each read at its own.

    It reads those layers' values side by side (I * D numbers) and has all their latents (I * F), with a threshold each,
    which is 0 for a ReLU.
    """

    architecture = "cross_layer_transcoder"
    keeps_float32 = ("threshold",)

    def __init__(self, *, n_layers: int = 1, **given: Unpack[TranscoderArguments]) -> None:
        # on no device: one matrix for all layers would be I times as large as theirs together
        on_no_device: TranscoderArguments = {**given, "device": "meta"}
        super().__init__(**on_no_device)
        d_in, d_sae, device, dtype = given["d_in"], given["d_sae"], given["device"], given["dtype"]
        del self.W_enc
        self.encoders_IDF = frozen_zeros(n_layers, d_in // n_layers, d_sae // n_layers, device=device, dtype=dtype)
        for name in ("b_enc", "W_dec", "b_dec", *([] if self.W_skip is None else ["W_skip"])):
            setattr(self, name, frozen_zeros(*getattr(self, name).shape, device=device, dtype=dtype))
        self.threshold = frozen_zeros(d_sae, device=device, dtype=at_least_float32(dtype))
        self.cfg.device = str(device)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        n_layers = len(self.encoders_IDF)
        of_layers = zip(
            x.unflatten(-1, (n_layers, -1)).unbind(-2), self.encoders_IDF, self.b_enc.chunk(n_layers), strict=True
        )
        pre = torch.cat([affine(x_i, W_DF, b_F) for x_i, W_DF, b_F in of_layers], dim=-1)
        return torch.where(pre > self.threshold, torch.relu(pre), 0)


class TopKTranscoder(Transcoder):
    """TopK transcoder (sparsify): the k largest of `relu(x @ W_enc + b_enc)` of each token."""

    architecture = "topk_transcoder"
    k: Tensor

    def __init__(self, *, k: int, **given: Unpack[TranscoderArguments]) -> None:
        super().__init__(**given)
        self.n_active = register_k(self, k, given["d_sae"])

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        dense_NF = self.encode_sparse(x.reshape(-1, x.shape[-1])).to_dense()
        return dense_NF.view(*x.shape[:-1], dense_NF.shape[-1])

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The k largest pre-activations of each token, negative ones as 0."""
        if is_wide(self.W_enc.shape[1]):
            return largest_by_blocks(self._pre_activations, x_ND, self.W_enc.shape[1], self.n_active)
        return largest(self._pre_activations(x_ND), self.n_active)
