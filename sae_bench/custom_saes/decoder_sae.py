"""A decoder matrix of one's own: alone, or with the encoder of least squares."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.errors import SAEMismatchError

NO_ENCODER = (
    "this is a decoder matrix without an encoder. Next: choose meta_structure or core, or let an encoder be made: "
    "decoder:<file>:least_squares, decoder:<file>:matching_pursuit(<latents per token>)"
)


class DecoderSAE(BaseSAE):
    """A decoder without an encoder: for what reads weights alone."""

    architecture = "decoder"
    weights_only = NO_ENCODER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.W_enc, self.b_enc

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:  # noqa: ARG002 (there is nothing to do)
        """Nothing. Raises `SAEMismatchError`."""
        raise SAEMismatchError(f"it has no codes: {self.weights_only}.")


class LeastSquaresSAE(BaseSAE):
    """Codes of either sign with which the decoder comes closest to each activation, the shortest if many do.

    `f = (x - b_dec) @ pinv(W_dec)`; nearly every latent is active on every token.
    """

    architecture = "least_squares"

    @torch.no_grad()
    def fit_encoder(self) -> None:
        """Set the encoder to the pseudoinverse of the decoder, computed in float64."""
        W_dec_FD = self.W_dec.double()
        gram_DD = W_dec_FD.T @ W_dec_FD
        self.W_enc.copy_(torch.linalg.pinv(gram_DD, hermitian=True) @ W_dec_FD.T)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self._centred_pre_activations(x)
