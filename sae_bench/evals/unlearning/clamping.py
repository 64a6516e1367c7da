"""Clamping latents: where one is active it is set to minus a multiplier; everything else stays, the error included.

With codes f, the value x of a token becomes x - decode(f) + decode(f'), f'_s = -m where s is in the selection S and
f_s > 0, else f_s. For a linear decoder that is x - sum_{s in S, f_s > 0} (f_s + m) d_s: codes of the selected latents
are enough. What a transcoder writes changes by the same sum, its skip path not at all. Position 0 (BOS, or the first
token) is never changed. After Farrell et al. 2024, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.activations.device_limits import encode_with_halving
from sae_bench.custom_saes.interface import SAE, SparseCodes, decoder_is_linear, encode_tokens

CODE_BYTES = 64 << 20
"""Size of the float32 codes that exist at one time."""


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

    def clamped(self, clamp: Clamp) -> Float[Tensor, "N O"]:
        """The tokens' values under the clamp, in float32 or wider."""


def encode_for_clamping(
    sae: SAE, x_ND: Float[Tensor, "N D"], latents: Sequence[int], written_NO: Float[Tensor, "N O"] | None = None
) -> ClampedTokens:
    """Encode tokens for clamps of some of `latents` (ascending).

    Args:
        x_ND: what the SAE reads.
        written_NO: the values that change, where those are not what it reads: of the hook that a transcoder predicts.
    """
    written_NO = x_ND if written_NO is None else written_NO
    if decoder_is_linear(sae):
        return _Linear(sae, x_ND, latents, written_NO)
    return _Decoded(sae, x_ND, written_NO)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.element_size() < 4 else x


def _columns(codes: SparseCodes | Tensor, index_K: Int[Tensor, " K"]) -> Float[Tensor, "N K"]:
    """The codes of some latents, ascending; of sparse codes no others are unfolded."""
    if isinstance(codes, Tensor):
        return _wide(codes[:, index_K])
    column_NJ = torch.searchsorted(index_K, codes.indices_NK).clamp(max=len(index_K) - 1)
    wanted_NJ = index_K[column_NJ] == codes.indices_NK
    codes_NK = _wide(codes.values_NK.new_zeros(len(codes.values_NK), len(index_K)))
    return codes_NK.scatter_add(1, column_NJ, _wide(codes.values_NK * wanted_NJ))


class _Linear:
    """Clamps as sums of decoder rows; of the codes, only those of latents that a clamp may name are kept."""

    def __init__(self, sae: SAE, x_ND: Tensor, latents: Sequence[int], written_NO: Tensor) -> None:
        self.index_K = torch.tensor(latents, dtype=torch.long, device=x_ND.device)
        self.written_NO = _wide(written_NO)
        parts = x_ND.split(max(1, CODE_BYTES // (4 * int(sae.cfg.d_sae))))
        self.codes_NK = torch.cat([_columns(encode_with_halving(sae, part), self.index_K) for part in parts])
        self.W_dec_KO = _wide(sae.W_dec[self.index_K])

    def active(self, clamp: Clamp) -> Tensor:
        return (self.codes_NK[:, self._places(clamp)] > 0).any(dim=1)

    def clamped(self, clamp: Clamp) -> Tensor:
        index_J = self._places(clamp)
        codes_NK = self.codes_NK[:, index_J]
        change_NK = torch.where(codes_NK > 0, -clamp.multiplier - codes_NK, 0.0)
        return self.written_NO + change_NK @ self.W_dec_KO[index_J]

    def _places(self, clamp: Clamp) -> Int[Tensor, " K"]:
        return torch.searchsorted(self.index_K, torch.tensor(clamp.latents, device=self.index_K.device))


class _Decoded:
    """Clamps by decoding twice, for decoders that are not linear.

    Such decoders may keep what they need (the norm of each token, say) from the last encode, so all codes of these
    tokens are decoded together and before any other tokens are encoded.
    """

    def __init__(self, sae: SAE, x_ND: Tensor, written_NO: Tensor) -> None:
        codes = encode_tokens(sae, x_ND)
        self.sae = sae
        self.codes_NF = codes_NF = codes.to_dense() if isinstance(codes, SparseCodes) else codes
        self.error_NO = _wide(written_NO) - _wide(sae.decode(codes_NF))

    def active(self, clamp: Clamp) -> Tensor:
        return (self.codes_NF[:, list(clamp.latents)] > 0).any(dim=1)

    def clamped(self, clamp: Clamp) -> Tensor:
        codes_NF = self.codes_NF.clone()
        chosen_NK = codes_NF[:, list(clamp.latents)]
        codes_NF[:, list(clamp.latents)] = chosen_NK.masked_fill(chosen_NK > 0, -clamp.multiplier)
        return self.error_NO + _wide(self.sae.decode(codes_NF))
