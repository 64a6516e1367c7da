"""Base class of the SAE architectures: parameters, configuration, the linear decoder."""

from __future__ import annotations

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import HALF_PRECISION, check_encoding

logger = logging.getLogger(__name__)
MATRICES = ("W_enc", "W_dec")
ALL = slice(None)
"""Every latent."""
_SENTENCE = (
    "The expedition reached the glacier late in the evening, and the geologists, who had argued about its age for "
    "twenty years, found it thinner than any of their maps had said."
)


class _Needed(TypedDict):
    d_in: int
    d_sae: int
    model_name: str
    hook_layer: int
    device: torch.device | str
    dtype: torch.dtype


class SAEArguments(_Needed, total=False):
    """What every SAE is built from, by name: for classes that take more than that."""

    hook_name: str | None


class BaseSAE(nn.Module, ABC):
    """An SAE with encoder (D, F), decoder (F, D), biases, and `decode(f) = f @ W_dec + b_dec`.

    A subclass writes `encode`, and `encode_latents` if a latent does not depend on the others: wide SAEs are encoded
    some latents at a time then. One whose `decode` is not of that form sets `decoder_is_linear = False`. Parameters do
    not require gradients: an SAE under evaluation is not trained.
    """

    architecture: ClassVar[str] = ""
    decoder_is_linear: bool = True
    caveats: tuple[str, ...] = ()
    """What whoever reads its results has to know, in sentences."""
    trained_with: Mapping[str, Any] = MappingProxyType({})
    """What its file states of its training: `prepend_bos`, `seqpos_slice`."""
    codes_only: str = ""
    """Why its reconstruction means nothing, for one that is read for its codes; empty where it does."""
    casts_blocks: ClassVar[bool] = False
    """Whether `encode` and `encode_sparse` of a wide SAE read its encoder by `encoder_columns` alone."""
    matrices_as_in_file: bool = False
    """Whether the two matrices keep dtype and memory map of their file; blocks of them are cast when they are used."""
    keeps_float32: ClassVar[tuple[str, ...]] = ()
    """Tensors that stay in float32 when the SAE is cast to half precision: what decides whether a latent is on."""

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__()
        self.W_enc = frozen_zeros(d_in, d_sae, device=device, dtype=dtype)
        self.b_enc = frozen_zeros(d_sae, device=device, dtype=dtype)
        self.W_dec = frozen_zeros(d_sae, d_in, device=device, dtype=dtype)
        self.b_dec = frozen_zeros(d_in, device=device, dtype=dtype)
        self.cfg = CustomSAEConfig(
            model_name,
            d_in,
            d_sae,
            hook_layer,
            hook_name or f"blocks.{hook_layer}.hook_resid_post",
            architecture=self.architecture,
            dtype=_name(dtype),
            device=str(device),
        )
        self.add_parameters(d_sae, device, dtype)

    def add_parameters(self, d_sae: int, device: torch.device | str, dtype: torch.dtype) -> None:
        """What an architecture has beside the four of all; nothing here."""

    @abstractmethod
    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        """Latents of activations with any leading dimensions, in the SAE's dtype."""

    def decode(self, feature_acts: Float[Tensor, "*N F"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from latents."""
        return feature_acts @ self.W_dec.to(feature_acts) + self.b_dec

    @property
    def decoder_constant(self) -> Float[Tensor, " D"] | None:
        """What no active latent decodes to, where `decode` is that of this class."""
        return self.b_dec if type(self).decode is BaseSAE.decode else None

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from activations."""
        return self.decode(self.encode(x))

    @property
    def device(self) -> torch.device:
        """Where the weights are; assigning another one moves them."""
        return self.W_dec.device

    @device.setter
    def device(self, device: torch.device | str) -> None:
        if "W_dec" in self.__dict__.get("_parameters", {}):  # else a subclass says it before there are weights
            self.to(device=device)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in, and that of the weights, unless these are as in a file; assigning another casts them."""
        return self.b_dec.dtype

    @dtype.setter
    def dtype(self, dtype: torch.dtype) -> None:
        if "W_dec" in self.__dict__.get("_parameters", {}):
            self.to(dtype=dtype)

    def check_decoder_norms(self) -> bool:
        """Whether every decoder row has length 1, to 1e-5 (1e-2 in half precision, whose steps are 1/256)."""
        tolerance = 1e-2 if self.dtype in HALF_PRECISION else 1e-5
        return bool((self.W_dec.detach().float().norm(dim=1) - 1).abs().max() <= tolerance)

    def normalize_decoder(self) -> list[str]:
        """Move the decoder norms into the encoder, in place, where that changes no output; returns warnings."""
        return fold_decoder_norm(self)

    @torch.no_grad()
    def test_sae(self, model_name: Any) -> float:
        """Encode and decode one sentence; whether shapes and reconstructions agree.

        Args:
            model_name: the language model that it reads: a name, or a loaded `LanguageModel`.
        Returns:
            The mean number of active latents per token, the first token left out.
        Raises:
            SAEMismatchError: weights contradict the configuration, or `self(x)` is not `decode(encode(x))`.
        """
        from sae_bench.language_models import LanguageModel, load_language_model

        loaded = isinstance(model_name, LanguageModel)
        lm = model_name if loaded else load_language_model(model_name, device=str(self.device), dtype="float32")
        ids_1L = torch.tensor(lm.tokenize([_SENTENCE]), device=lm.device)
        x_1LD = lm.capture(ids_1L, [self.cfg.hook_name])[self.cfg.hook_name].to(self.device, self.dtype)
        l0 = check_encoding(self, x_1LD)
        logger.info("%.1f latents are active per token", l0)
        return l0

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> BaseSAE:
        """Under every move and cast of a module: the configuration gets a copy that names the new dtype and device."""
        before = {name: getattr(self, name).detach() for name in self.keeps_float32 if hasattr(self, name)}
        as_in_file = {name: getattr(self, name).detach() for name in MATRICES} if self.matrices_as_in_file else {}
        for name, matrix in as_in_file.items():
            setattr(self, name, nn.Parameter(matrix.new_empty(0), requires_grad=False))
        super()._apply(fn, recurse)
        for name, matrix in as_in_file.items():
            moved = matrix.to(self.b_dec.device) if fits(matrix, self.b_dec.device) else matrix
            setattr(self, name, nn.Parameter(moved, requires_grad=False))
        for name, value in before.items():
            keep_wide(getattr(self, name), value)
        self.cfg = copy.copy(self.cfg)
        vars(self.cfg).update(dtype=_name(self.dtype), device=str(self.device))
        return self

    def _pre_activations(self, x: Float[Tensor, "*N D"], latents: slice = ALL) -> Float[Tensor, "*N B"]:
        """`x @ W_enc + b_enc` of some latents, in one fused product."""
        return affine(x, self.encoder_columns(latents, x), self.b_enc[latents])

    def encoder_columns(self, latents: slice, like: Tensor) -> Float[Tensor, "D B"]:
        """The encoder of some latents, in the dtype and on the device of another tensor."""
        return self.W_enc[:, latents].to(like)

    def _centred_pre_activations(self, x: Float[Tensor, "*N D"], latents: slice = ALL) -> Float[Tensor, "*N B"]:
        """`(x - b_dec) @ W_enc + b_enc` of some latents, in one fused product."""
        return self._pre_activations(x - self.b_dec, latents)


class SquareSAE(BaseSAE):
    """An SAE with one latent per dimension."""

    def __init__(
        self,
        d_in: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__(d_in, d_in, model_name, hook_layer, device, dtype, hook_name)


def fits(matrix: Tensor, device: torch.device) -> bool:
    """Whether a device has so much free memory that a matrix may stay there for good."""
    if device.type != "cuda" or matrix.device == device:
        return True
    return matrix.nbytes < 0.4 * torch.cuda.mem_get_info(device)[0]


def frozen_zeros(*shape: int, device: torch.device | str, dtype: torch.dtype) -> nn.Parameter:
    """A parameter of zeros that takes no gradient; in main memory it takes none until something is written to it."""
    if torch.device(device).type != "cpu":
        return nn.Parameter(torch.zeros(*shape, device=device, dtype=dtype), requires_grad=False)
    pages = np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)  # torch.zeros writes them
    return nn.Parameter(torch.from_numpy(pages).view(dtype).view(shape), requires_grad=False)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype itself, or float32 in place of half precision."""
    return torch.promote_types(dtype, torch.float32)


def keep_wide(tensor: Tensor, before: Tensor) -> None:
    """Give a tensor that was cast the values it had before, if the cast was to half precision."""
    if tensor.dtype in HALF_PRECISION:
        tensor.data = before.to(device=tensor.device, dtype=at_least_float32(before.dtype))


def affine(x: Float[Tensor, "*N D"], W_DF: Float[Tensor, "D F"], b_F: Float[Tensor, " F"]) -> Float[Tensor, "*N F"]:
    """`x @ W + b` without a second pass over the (large) product."""
    return torch.addmm(b_F, x.reshape(-1, x.shape[-1]), W_DF).view(*x.shape[:-1], W_DF.shape[1])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
