"""The oracle of a synthetic model: its latents are the true features, on exactly where they are on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.language_models.hooks import parse_hook_name
from sae_bench.language_models.synthetic.model import SyntheticModel


class OracleSAE(BaseSAE):
    """Looks up which sample an activation is, and gives the values of its features; nothing is estimated.

    No encoder can do this in general: it is the ceiling that metrics are held against, and knows only activations that
    its model has given since it was made.

    Args:
        lm: the model whose features it knows.
        device, dtype: of its weights and codes.
    """

    architecture = "oracle"

    def __init__(self, lm: SyntheticModel, device: torch.device | str, dtype: torch.dtype) -> None:
        hook_name = lm.features.hook_name
        layer = parse_hook_name(hook_name).layer
        super().__init__(lm.d_model, lm.n_features, lm.name, layer, device, dtype, hook_name)
        with torch.no_grad():
            self.W_dec.copy_(lm.features.directions_GD)
            self.W_enc.copy_(lm.features.directions_GD.T)
            self.b_dec.copy_(lm.features.bias_D)
        lm.remember()
        self._activity = lm.remembered

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        codes_NF = torch.from_numpy(self._activity(x.flatten(0, -2)).toarray())
        return codes_NF.to(self.W_dec).view(*x.shape[:-1], -1)
