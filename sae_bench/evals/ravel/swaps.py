"""What is put in the place of the entity's activation: base and source mixed latent by latent, or axis by axis.

A weight m per latent mixes codes: f' = (1 - m) f_base + m f_source, and decode(f') takes the activation's place (no
error term). A transcoder keeps its error and its skip path: what it writes, y, becomes y + decode(f') - decode(f_base).
While a mask is trained, m = sigmoid(a / T) with a temperature T that falls to nearly zero; afterwards m = 1 where
a > 0. MDBM (multi-task differential binary mask) learns a; MDAS learns a rotation of the activation space too.

Shapes: N prompts, B pairs, D width of the hook, F latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.codes import joined
from sae_bench.custom_saes.interface import SAE, SparseCodes, compute_dtype, decoder_is_linear, encode_tokens

TOKENS_AT_ONCE = 4096
MAX_SPARSE_SHARE = 0.25
"""Codes are kept sparse if at most this share of the latents is active on a token."""


@runtime_checkable
class Swap(Protocol):
    """One trainable way to take over a part of the source's activation."""

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""

    def mixed(
        self, base_B: Int[Tensor, " B"], source_B: Int[Tensor, " B"], temperature: float | None
    ) -> Float[Tensor, "B D"]:
        """New activations of bases; soft at a temperature, hard for None."""

    def project(self) -> None:
        """After a training step, bring the parameters back to what they must be."""

    @property
    def n_chosen(self) -> int:
        """How many latents or axes are taken over from the source."""


def weights(mask_F: Float[Tensor, " F"], temperature: float | None) -> Float[Tensor, " F"]:
    """The share of the source in each latent."""
    return (mask_F > 0).to(mask_F.dtype) if temperature is None else torch.sigmoid(mask_F / temperature)


@runtime_checkable
class Latents(Protocol):
    """The codes of all prompts' entities under one SAE."""

    n_latents: int
    sae: SAE

    def mixed(self, base_B: Tensor, source_B: Tensor, weights_F: Tensor) -> Float[Tensor, "B D"]:
        """New activations of bases: mix the codes of bases and sources, and decode."""

    def parts(self) -> Iterator[Float[Tensor, "_ F"]]:
        """Dense codes of all prompts, some at a time."""


def encode_entities(sae: SAE, x_ND: Float[Tensor, "N D"], written_ND: Float[Tensor, "N O"] | None = None) -> Latents:
    """Codes of the activations at the entities: computed once if the decoder is linear.

    Args:
        x_ND: what the SAE reads.
        written_ND: what the model has at the hook that a transcoder predicts; None for an SAE.
    """
    latents: Latents = _Encoded(sae, x_ND) if decoder_is_linear(sae) else _Reencoded(sae, x_ND)
    return latents if written_ND is None else _Added(latents, written_ND)


class _Encoded:
    """Codes kept, sparse where that is smaller."""

    @torch.no_grad()
    def __init__(self, sae: SAE, x_ND: Tensor) -> None:
        self.sae = sae
        self.n_latents = int(sae.W_dec.shape[0])
        parts = [encode_tokens(sae, part) for part in x_ND.split(TOKENS_AT_ONCE)]
        self._dense_NF: Tensor | None = None
        self._sparse: SparseCodes | None = None
        if all(isinstance(part, Tensor) for part in parts) and not self._is_sparse(parts):
            self._dense_NF = torch.cat([part for part in parts if isinstance(part, Tensor)])
        else:
            self._sparse = joined([p if isinstance(p, SparseCodes) else _sparse(p) for p in parts])

    def _is_sparse(self, parts: list[Tensor | SparseCodes]) -> bool:
        active = [int((part != 0).sum(dim=1).max()) for part in parts if isinstance(part, Tensor)]
        return max(active) <= MAX_SPARSE_SHARE * self.n_latents

    def codes(self, index_B: Tensor) -> Float[Tensor, "B F"]:
        """Dense codes of some prompts."""
        if self._dense_NF is not None:
            return self._dense_NF[index_B]
        assert self._sparse is not None
        values_BK, indices_BK = self._sparse.values_NK[index_B], self._sparse.indices_NK[index_B]
        # added, not written: an unused slot holds 0 and any index, perhaps that of an active latent
        return values_BK.new_zeros(len(index_B), self.n_latents).scatter_add(1, indices_BK, values_BK)

    def parts(self) -> Iterator[Tensor]:
        codes = self._dense_NF if self._dense_NF is not None else self._sparse.values_NK  # type: ignore[union-attr]
        for index_B in torch.arange(len(codes), device=codes.device).split(TOKENS_AT_ONCE):
            yield self.codes(index_B)

    def mixed(self, base_B: Tensor, source_B: Tensor, weights_F: Tensor) -> Tensor:
        base_BF, source_BF = self.codes(base_B), self.codes(source_B)
        mixed_BF = (1 - weights_F) * base_BF + weights_F * source_BF
        return self.sae.decode(mixed_BF.to(compute_dtype(self.sae)))


class _Reencoded:
    """For decoders that keep something of the last encode (each token's norm): bases are encoded right before."""

    def __init__(self, sae: SAE, x_ND: Tensor) -> None:
        self.sae = sae
        self.n_latents = int(sae.W_dec.shape[0])
        self.x_ND = x_ND.to(compute_dtype(sae))

    def parts(self) -> Iterator[Tensor]:
        with torch.no_grad():
            yield from (self.sae.encode(x_BD) for x_BD in self.x_ND.split(TOKENS_AT_ONCE))

    def mixed(self, base_B: Tensor, source_B: Tensor, weights_F: Tensor) -> Tensor:
        with torch.no_grad():
            source_BF = self.sae.encode(self.x_ND[source_B])
            base_BF = self.sae.encode(self.x_ND[base_B])
        mixed_BF = (1 - weights_F) * base_BF + weights_F * source_BF
        return self.sae.decode(mixed_BF.to(compute_dtype(self.sae)))


class _Added:
    """The change of what the codes decode to, added to what the model writes."""

    def __init__(self, latents: Latents, written_ND: Float[Tensor, "N O"]) -> None:
        self.sae = latents.sae
        self.n_latents = latents.n_latents
        self.parts = latents.parts
        self._latents = latents
        self._written_ND = written_ND.to(latents.sae.W_dec.dtype)

    def mixed(self, base_B: Tensor, source_B: Tensor, weights_F: Tensor) -> Tensor:
        mixed_BO = self._latents.mixed(base_B, source_B, weights_F)
        with torch.no_grad():
            base_BO = self._latents.mixed(base_B, source_B, torch.zeros_like(weights_F))
        return self._written_ND[base_B] + (mixed_BO - base_BO)


def _sparse(codes_NF: Tensor) -> SparseCodes:
    n_active = max(1, int((codes_NF != 0).sum(dim=1).max()))
    indices_NK = (codes_NF != 0).to(torch.int8).topk(n_active, dim=1).indices
    return SparseCodes(codes_NF.gather(1, indices_NK), indices_NK, codes_NF.shape[1])


class LatentMask:
    """MDBM: a mask over the latents of an SAE."""

    def __init__(self, latents: Latents, device: torch.device) -> None:
        self.latents = latents
        self.mask_F = torch.zeros(latents.n_latents, device=device, requires_grad=True)

    @property
    def parameters(self) -> list[Tensor]:
        return [self.mask_F]

    def mixed(self, base_B: Tensor, source_B: Tensor, temperature: float | None) -> Tensor:
        return self.latents.mixed(base_B, source_B, weights(self.mask_F, temperature))

    def project(self) -> None:
        """A mask may take any value."""

    @property
    def n_chosen(self) -> int:
        return int((self.mask_F > 0).sum())


class RotatedMask:
    """MDAS: a mask over the axes of a rotated activation space (Geiger et al. 2024, Huang et al. 2024)."""

    def __init__(self, x_ND: Float[Tensor, "N D"]) -> None:
        self.x_ND = x_ND.float()
        self.rotation_DD = torch.eye(x_ND.shape[1], device=x_ND.device, requires_grad=True)
        self.mask_D = torch.zeros(x_ND.shape[1], device=x_ND.device, requires_grad=True)

    @property
    def parameters(self) -> list[Tensor]:
        return [self.mask_D, self.rotation_DD]

    def mixed(self, base_B: Tensor, source_B: Tensor, temperature: float | None) -> Tensor:
        weights_D = weights(self.mask_D, temperature)
        base_BD, source_BD = self.x_ND[base_B] @ self.rotation_DD, self.x_ND[source_B] @ self.rotation_DD
        return ((1 - weights_D) * base_BD + weights_D * source_BD) @ self.rotation_DD.T

    @torch.no_grad()
    def project(self) -> None:
        """Make the matrix a rotation again after a step: orthogonal by QR, with determinant +1."""
        rotation_DD, _ = torch.linalg.qr(self.rotation_DD)
        if torch.linalg.det(rotation_DD) < 0:
            rotation_DD[:, 0] = -rotation_DD[:, 0]
        self.rotation_DD.copy_(rotation_DD)

    @property
    def n_chosen(self) -> int:
        return int((self.mask_D > 0).sum())


class WholeActivation:
    """The source's activation as a whole, without an SAE: what patching at this place can do at most."""

    def __init__(self, x_ND: Float[Tensor, "N D"]) -> None:
        self.x_ND = x_ND

    @property
    def parameters(self) -> list[Tensor]:
        return []

    def mixed(self, base_B: Tensor, source_B: Tensor, temperature: float | None) -> Tensor:
        del base_B, temperature
        return self.x_ND[source_B]

    def project(self) -> None:
        """Nothing is trained."""

    @property
    def n_chosen(self) -> int:
        return self.x_ND.shape[1]


class MeanActivation(WholeActivation):
    """The mean activation of all entities: nothing is left of base or source."""

    def mixed(self, base_B: Tensor, source_B: Tensor, temperature: float | None) -> Tensor:
        del source_B, temperature
        return self.x_ND.float().mean(dim=0).to(self.x_ND.dtype).expand(len(base_B), -1)

    @property
    def n_chosen(self) -> int:
        return 0
