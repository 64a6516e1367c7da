"""An SAE made from another one: its encoder, with latents left out or merged, and a decoder of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig
from sae_bench.custom_saes.interface import SparseCodes, decoder_is_linear, skip_path, sparse_encoder
from sae_bench.errors import SAEMismatchError, UsageError

_ENCODER_PARTS = ("W_enc", "b_enc", "b_mag", "gate_bias", "r_mag", "threshold")
_BESIDE_LATENTS = ("W_skip", "codes_only", "reads_rows", "beside_latents")


@dataclass
class DerivedSAEConfig(CustomSAEConfig):
    """The configuration of an SAE that is made from another one."""

    derived_from: dict[str, Any] = field(default_factory=dict)
    """Which SAE (`release`, `sae_id`, `fingerprint`, `architecture`), what was made of it (`name`), its parameters."""


@dataclass
class DerivedTranscoderConfig(DerivedSAEConfig):
    """The configuration of what is made from a transcoder."""

    hook_name_out: str | None = None
    """Which hook it predicts, as the transcoder does."""
    d_out: int | None = None


def derived_config(cfg: Any, derived_from: dict[str, Any], *, d_sae: int) -> DerivedSAEConfig:
    """The configuration of what is made from an SAE: the SAE's, as far as it has the fields that SAE tools share.

    Args:
        cfg: of the SAE.
        derived_from: as in `DerivedSAEConfig`.
        d_sae: latents of what is made.
    """
    shared = {one.name: getattr(cfg, one.name) for one in fields(CustomSAEConfig) if hasattr(cfg, one.name)}
    shared |= {"d_sae": d_sae, "architecture": derived_from["name"], "model_name": shared.get("model_name") or ""}
    shared["hook_layer"] = shared.get("hook_layer") or 0
    hook_name_out = getattr(cfg, "hook_name_out", None)
    if hook_name_out is None:
        return DerivedSAEConfig(**shared, derived_from=derived_from)
    d_out = getattr(cfg, "d_out", None)
    return DerivedTranscoderConfig(**shared, derived_from=derived_from, hook_name_out=hook_name_out, d_out=d_out)


@dataclass(frozen=True)
class LatentMap:
    """Which latent every latent of the parent becomes a part of, and times how much.

    Attributes:
        target_F: index of the new latent, for every latent of the parent.
        factor_F: 0 for a latent that is left out.
        n_latents: latents there are afterwards.
        in_place: whether latents are left out and keep their places else, so that sparse codes keep their indices.
    """

    target_F: Int[Tensor, " F"]
    factor_F: Float[Tensor, " F"]
    n_latents: int
    in_place: bool = False

    def dense(self, f: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F2"]:
        """New codes of the parent's codes."""
        new = f.new_zeros(*f.shape[:-1], self.n_latents)
        return new.index_add(-1, self.target_F, f * self.factor_F.to(f.dtype))

    def sparse(self, codes: SparseCodes) -> SparseCodes:
        """New codes of the parent's sparse codes, where latents keep their places."""
        return codes._replace(values_NK=codes.values_NK * self.factor_F.to(codes.values_NK.dtype)[codes.indices_NK])


class DerivedSAE:
    """Codes of a parent, through a map of its latents if there is one; decoder rows of its own if there are any.

    With neither it is its parent, bit for bit. With rows of its own it decodes to `f @ W_dec + parent.decode(0)`.
    """

    def __init__(
        self,
        parent: Any,
        cfg: DerivedSAEConfig,
        *,
        latents: LatentMap | None = None,
        W_dec_FD: Float[Tensor, "F2 D"] | None = None,
    ) -> None:
        """
        Args:
            parent: the SAE, which has to be nobody else's: it is moved and cast with this one.
            latents: what becomes of its latents.
            W_dec_FD: decoder rows; needed where the number of latents changes.
        Raises:
            SAEMismatchError: rows are given and the parent's decoder is not linear.
        """
        self.decoder_is_linear = decoder_is_linear(parent)
        if W_dec_FD is not None and not self.decoder_is_linear:
            raise SAEMismatchError(
                "its decoder is not linear (it normalises each token, say), so it cannot get other decoder rows."
            )
        self.parent = parent
        self.cfg = cfg
        self.latents = latents
        self.caveats = tuple(getattr(parent, "caveats", ()))
        self.trained_with = dict(getattr(parent, "trained_with", {}))
        self._W_dec_FD = W_dec_FD

    @property
    def W_dec(self) -> Tensor:
        return self.parent.W_dec if self._W_dec_FD is None else self._W_dec_FD

    @property
    def dtype(self) -> torch.dtype:
        return self.W_dec.dtype

    @property
    def device(self) -> torch.device:
        return self.W_dec.device

    def __getattr__(self, name: str) -> Any:
        """Parts of the parent's encoder, of the latents that are left, and what a transcoder has beside latents."""
        if name not in (*_ENCODER_PARTS, *_BESIDE_LATENTS):
            raise AttributeError(name)
        part = getattr(self.parent, name)
        if name in _BESIDE_LATENTS or self.latents is None or not isinstance(part, Tensor) or not part.ndim:
            return part
        n_latents = self.latents.n_latents
        if part.shape[-1] == n_latents:
            return part
        left_F = self.latents.factor_F != 0
        return part[..., left_F]

    @property
    def supports_sparse(self) -> bool:
        """Whether every token has a bounded number of active latents."""
        return sparse_encoder(self.parent) is not None and (self.latents is None or self.latents.in_place)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F2"]:
        f = self.parent.encode(x)
        return f if self.latents is None else self.latents.dense(f)

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The parent's sparse codes, of the latents that are left.

        Raises:
            UsageError: the parent has none, or latents change their places.
        """
        if not self.supports_sparse:
            raise UsageError(f"a {self.cfg.architecture} SAE of this parent has no sparse codes; use encode().")
        codes: SparseCodes = self.parent.encode_sparse(x_ND)
        return codes if self.latents is None else self.latents.sparse(codes)

    def decode(self, f: Float[Tensor, "*N F2"]) -> Float[Tensor, "*N D"]:
        if self._W_dec_FD is None:
            return self.parent.decode(f)
        nothing_1F = self.parent.W_dec.new_zeros(1, self.parent.W_dec.shape[0])
        return f @ self._W_dec_FD + self.parent.decode(nothing_1F)[0]

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from activations."""
        decoded, beside = self.decode(self.encode(x)), skip_path(self, x)
        return decoded if beside is None else decoded + beside

    __call__ = forward

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> DerivedSAE:
        """Move and cast, in place; a parent that cannot be moved stays as it is, and so does this SAE."""
        move = getattr(self.parent, "to", None)
        if move is None:
            return self
        self.parent = move(device=device or self.device, dtype=dtype or self.dtype) or self.parent
        at = self.parent.W_dec.device
        if self._W_dec_FD is not None:
            self._W_dec_FD = self._W_dec_FD.to(at, self.parent.W_dec.dtype)
        if self.latents is not None:
            target_F, factor_F = self.latents.target_F.to(at), self.latents.factor_F.to(at)
            self.latents = LatentMap(target_F, factor_F, self.latents.n_latents, self.latents.in_place)
        self.cfg = copy.copy(self.cfg)
        self.cfg.dtype, self.cfg.device = str(self.dtype).removeprefix("torch."), str(at)
        return self
