"""Clamping latents: where one is active it is set to minus a multiplier; everything else stays, the error included.

With codes f, the value x of a token becomes x - decode(f) + decode(f'), f'_s = -m where s is in the selection S and
f_s > 0, else f_s. For a linear decoder that is x - sum_{s in S, f_s > 0} (f_s + m) d_s: codes of the selected latents
are enough. Position 0 (BOS, or the first token) is never changed. After Farrell et al. 2024, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.custom_saes.interface import SAE, SparseCodes, decoder_is_linear, encode_tokens


@dataclass(frozen=True)
class Clamp:
    """Which latents are clamped, ascending, and to minus what."""

    latents: tuple[int, ...]
    multiplier: float


@runtime_checkable
class ClampedTokens(Protocol):
    """N tokens encoded once, ready to be clamped in many ways."""

    def active(self, clamp: Clamp) -> Bool[Tensor, " N"]:
        """Tokens that the clamp changes."""

    def clamped(self, clamp: Clamp) -> Float[Tensor, "N D"]:
        """The tokens' values under the clamp, in float32 or wider."""


def encode_for_clamping(sae: SAE, x_ND: Float[Tensor, "N D"], latents: Sequence[int]) -> ClampedTokens:
    """Encode tokens for clamps of some of `latents` (ascending)."""
    codes = encode_tokens(sae, x_ND)
    codes_NF = codes.to_dense() if isinstance(codes, SparseCodes) else codes
    if not decoder_is_linear(sae):
        return _Decoded(sae, x_ND, codes_NF)
    return _Linear(sae, x_ND, codes_NF, latents)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.element_size() < 4 else x


class _Linear:
    """Clamps as sums of decoder rows; of the codes, only those of latents that a clamp may name are kept."""

    def __init__(self, sae: SAE, x_ND: Tensor, codes_NF: Tensor, latents: Sequence[int]) -> None:
        self.index_K = torch.tensor(latents, dtype=torch.long, device=x_ND.device)
        self.x_ND = _wide(x_ND)
        self.codes_NK = _wide(codes_NF[:, self.index_K])
        self.W_dec_KD = _wide(sae.W_dec[self.index_K])

    def active(self, clamp: Clamp) -> Tensor:
        return (self.codes_NK[:, self._places(clamp)] > 0).any(dim=1)

    def clamped(self, clamp: Clamp) -> Tensor:
        places = self._places(clamp)
        codes_NK = self.codes_NK[:, places]
        change_NK = torch.where(codes_NK > 0, -clamp.multiplier - codes_NK, 0.0)
        return self.x_ND + change_NK @ self.W_dec_KD[places]

    def _places(self, clamp: Clamp) -> Int[Tensor, " K"]:
        return torch.searchsorted(self.index_K, torch.tensor(clamp.latents, device=self.index_K.device))


class _Decoded:
    """Clamps by decoding twice, for decoders that are not linear.

    Such decoders may keep what they need (the norm of each token, say) from the last encode, so all codes of these
    tokens are decoded together and before any other tokens are encoded.
    """

    def __init__(self, sae: SAE, x_ND: Tensor, codes_NF: Tensor) -> None:
        self.sae = sae
        self.codes_NF = codes_NF
        self.error_ND = _wide(x_ND) - _wide(sae.decode(codes_NF))

    def active(self, clamp: Clamp) -> Tensor:
        return (self.codes_NF[:, list(clamp.latents)] > 0).any(dim=1)

    def clamped(self, clamp: Clamp) -> Tensor:
        codes_NF = self.codes_NF.clone()
        chosen_NK = codes_NF[:, list(clamp.latents)]
        codes_NF[:, list(clamp.latents)] = chosen_NK.masked_fill(chosen_NK > 0, -clamp.multiplier)
        return self.error_ND + _wide(self.sae.decode(codes_NF))
