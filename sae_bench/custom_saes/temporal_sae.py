"""Temporal SAE: attention over the tokens before predicts a part of each activation, latents the rest (2511.01836).

Shapes: B texts, L tokens, D d_in, F latents, E = F / bottleneck factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.custom_saes.base_sae import BaseSAE, SAEArguments
from sae_bench.custom_saes.codes import largest
from sae_bench.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Attention(nn.Module):
    """Causal attention from a text's codes to the codes before them; weights of zeros that take no gradient."""

    def __init__(
        self, n_latents: int, n_heads: int, bottleneck_factor: int, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        n_embedding = n_latents // bottleneck_factor
        widths = {"k_ctx": n_embedding, "q_target": n_embedding, "v_ctx": n_latents, "c_proj": n_latents}
        for name, width in widths.items():
            self.add_module(name, nn.utils.skip_init(nn.Linear, n_latents, width, device=device, dtype=dtype))
        for weight in self.parameters():
            nn.init.zeros_(weight.requires_grad_(False))

    def forward(self, before_BLF: Float[Tensor, "B L F"], z_BLF: Float[Tensor, "B L F"]) -> Float[Tensor, "B L F"]:
        """What each token's codes `z` attend to, of the codes `before` up to its position."""
        q_BHLE, k_BHLE, v_BHLE = (
            getattr(self, name)(x_BLF).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for name, x_BLF in (("q_target", z_BLF), ("k_ctx", before_BLF), ("v_ctx", before_BLF))
        )
        mixed_BHLE = nn.functional.scaled_dot_product_attention(q_BHLE, k_BHLE, v_BHLE, is_causal=True)
        return self.get_submodule("c_proj")(mixed_BHLE.transpose(1, 2).flatten(-2))


class TemporalSAE(BaseSAE):
    """Temporal SAE: its codes are those of what the tokens before do not predict.

    `decode` gives the part that the latents write, as in every SAE here; `beside_latents` the predicted part, and
    calling the SAE both. All scales of training are in the weights: `W_enc` gives codes of `x - b_dec`.
    """

    architecture = "temporal"
    reads_rows = True

    def __init__(
        self,
        *,
        n_active: int | None = None,
        n_heads: int = 1,
        n_attn_layers: int = 1,
        bottleneck_factor: int = 1,
        smallest_length: float = 1e-6,
        **common: Unpack[SAEArguments],
    ) -> None:
        """
        Args:
            n_active: latents of a token that may be active; None: all whose pre-activation is positive.
            smallest_length: added to the length of a prediction before it is divided by.
        Raises:
            UsageError: the latents do not divide into the heads, or `n_active` is no possible number of them.
        """
        super().__init__(**common)
        d_sae, device, dtype = common["d_sae"], common["device"], common["dtype"]
        if d_sae % (n_heads * bottleneck_factor):
            raise UsageError(
                f"{d_sae} latents do not divide into {n_heads} heads of keys {bottleneck_factor} times narrower."
            )
        if n_active is not None and not 1 <= n_active <= d_sae:
            raise UsageError(f"k is {n_active}; it must be a whole number from 1 to d_sae ({d_sae}).")
        del self.b_enc
        self.n_active, self.smallest_length = n_active, smallest_length
        layers = (Attention(d_sae, n_heads, bottleneck_factor, device, dtype) for _ in range(n_attn_layers))
        self.attn_layers = nn.ModuleList(layers)

    def encode(self, x: Float[Tensor, "*B L D"]) -> Float[Tensor, "*B L F"]:
        """Codes of whole texts, from their first token on."""
        return self._codes(self._predict(x)[0])

    def beside_latents(self, x: Float[Tensor, "*B L D"]) -> Float[Tensor, "*B L D"]:
        """What the tokens before predict of each activation of a text."""
        return self._predict(x)[1]

    def forward(self, x: Float[Tensor, "*B L D"]) -> Float[Tensor, "*B L D"]:
        """Reconstructions of whole texts: what is predicted, and what the latents add."""
        left, predicted = self._predict(x)
        return self.decode(self._codes(left)) + predicted

    def _predict(self, x: Float[Tensor, "*B L D"]) -> tuple[Float[Tensor, "*B L D"], Float[Tensor, "*B L D"]]:
        """What is left of each activation without `b_dec` and its prediction, and the prediction."""
        left_BLD = (x - self.b_dec).reshape(-1, *x.shape[-2:])
        predicted_BLD = torch.zeros_like(left_BLD)
        for attention in self.attn_layers:
            z_BLF = torch.relu(left_BLD @ self.W_enc)
            before_BLF = nn.functional.pad(z_BLF, (0, 0, 1, 0))[:, :-1]
            direction_BLD = torch.relu(attention(before_BLF, z_BLF)) @ self.W_dec
            length_BL1 = direction_BLD.norm(dim=-1, keepdim=True) + self.smallest_length
            projection_BL1 = (direction_BLD * left_BLD).sum(dim=-1, keepdim=True) / length_BL1.square()
            step_BLD = projection_BL1 * direction_BLD
            predicted_BLD, left_BLD = predicted_BLD + step_BLD, left_BLD - step_BLD
        return left_BLD.view(x.shape), predicted_BLD.view(x.shape)

    def _codes(self, left: Float[Tensor, "*B L D"]) -> Float[Tensor, "*B L F"]:
        pre = left @ self.W_enc
        if self.n_active is None:
            return torch.relu(pre)
        return largest(pre.reshape(-1, pre.shape[-1]), self.n_active).to_dense().view(pre.shape)
