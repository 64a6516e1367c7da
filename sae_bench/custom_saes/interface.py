"""What an SAE is to the evals: any object with the right attributes; no inheritance needed.

Shapes: N tokens, D d_in, F latents, K active latents per token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.codes import SparseCodes, codes_by_blocks, is_wide, sums_of_rows
from sae_bench.errors import SAELoadError, SAEMismatchError

HALF_PRECISION = (torch.bfloat16, torch.float16)
PER_TOKEN_NORMALIZATIONS = ("layer_norm", "constant_norm_rescale")
ROWS_AT_ONCE = 1 << 14
"""Rows of a matrix that are looked at together."""
NUMBERS_AT_ONCE = 1 << 22
"""Numbers of a weight that are looked at together; looking at them takes some copies of them."""
GATHER_COST = 24
"""Fetching a decoder row costs as much as 4 to 24 rows of the dense product (measured on a CPU, F from 2k to 16k)."""


@runtime_checkable
class SAE(Protocol):
    """A sparse autoencoder (or anything that encodes to latents and decodes linearly or not).

    `cfg` names at least `d_in`, `d_sae` and `hook_name`. Optional, used where present: `W_enc` (D, F), `b_enc`,
    `b_mag`, `encode_sparse`, `encode_latents` (the codes of a slice of the latents), `decoder_is_linear`,
    `decoder_constant`, `to(device=, dtype=)`, `caveats` (sentences for whoever reads its results), `trained_with`
    (`prepend_bos` and `seqpos_slice` as its file states them).

    A transcoder names the hook that it predicts in `cfg.hook_name_out`; `W_dec` is (F, O) then, `W_skip` (O, D) its
    affine path beside the latents, and `codes_only` says why its reconstruction means nothing, if it does not.

    A decoder without an encoder says in `weights_only` why it has no codes.

    An SAE whose codes of a token depend on the tokens before it says `reads_rows = True`: it encodes whole texts
    (..., L, D) from their first token on, with padding behind them. Its `beside_latents(x)` is what it reconstructs of
    them without its codes.
    """

    @property
    def cfg(self) -> Any: ...

    @property
    def W_dec(self) -> Tensor: ...

    def encode(self, x: Tensor, /) -> Tensor:
        """(..., D) activations -> (..., F) latents."""
        ...

    def decode(self, f: Tensor, /) -> Tensor:
        """(..., F) latents -> (..., D) reconstruction."""
        ...


def output_hook(sae: Any) -> str:
    """Where the reconstruction belongs: `cfg.hook_name_out` of a transcoder, the hook itself of anything else."""
    return str(getattr(sae.cfg, "hook_name_out", None) or sae.cfg.hook_name)


def writes_elsewhere(sae: Any) -> bool:
    """Whether the hook that is read and the one that is reconstructed differ, as a transcoder's do."""
    return output_hook(sae) != sae.cfg.hook_name


def reads_rows(sae: Any) -> bool:
    """Whether the codes of a token depend on the tokens before it, so that whole texts have to be encoded."""
    return bool(getattr(sae, "reads_rows", False))


def weights_only(sae: Any) -> str:
    """Why it has no codes, for a decoder without an encoder; empty for an SAE."""
    return str(getattr(sae, "weights_only", ""))


def skip_path(sae: Any, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N O"] | None:
    """What an SAE reconstructs beside its latents; None for most.

    `x @ W_skip.T` of a skip transcoder; for one that reads rows, whose x are whole texts (..., L, D), its
    `beside_latents(x)`.
    """
    beside_latents = getattr(sae, "beside_latents", None)
    if beside_latents is not None:
        return cast("Tensor", beside_latents(x))
    return x @ sae.W_skip.T if has_skip_path(sae) else None


def has_skip_path(sae: Any) -> bool:
    """Whether part of what it reconstructs goes by no latent."""
    return getattr(sae, "beside_latents", None) is not None or isinstance(getattr(sae, "W_skip", None), Tensor)


def predict_tokens(sae: Any, codes: SparseCodes | Tensor, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
    """What is to stand at the output hook: the decoded codes, with the skip path of what is read beside them.

    Args:
        codes: of the tokens.
        x_ND: activations at the hook that the SAE reads; they count for a skip path only.
    """
    decoded_NO, skipped_NO = decode_tokens(sae, codes), skip_path(sae, x_ND.to(compute_dtype(sae)))
    return decoded_NO if skipped_NO is None else decoded_NO + skipped_NO


def sparse_encoder(sae: SAE) -> Callable[[Tensor], SparseCodes] | None:
    """The object's `encode_sparse`, or None if it has none (or says with `supports_sparse` that it is not usable)."""
    if not getattr(sae, "supports_sparse", True):
        return None
    return cast("Callable[[Tensor], SparseCodes] | None", getattr(sae, "encode_sparse", None))


def compute_dtype(sae: SAE) -> torch.dtype:
    """The dtype that an SAE computes in: that of its weights, unless these are kept as they are in its file."""
    of_sae: torch.dtype = cast("Any", sae).dtype if getattr(sae, "matrices_as_in_file", False) else sae.W_dec.dtype
    return of_sae


def latent_encoder(sae: SAE) -> Callable[[Tensor, slice], Tensor] | None:
    """The object's `encode_latents`, or None if it has none, or inherits it beside an `encode` of its own."""
    owner = {name: i for i, kind in reversed(list(enumerate(type(sae).__mro__))) for name in vars(kind)}
    if owner.get("encode_latents", len(owner)) > owner.get("encode", -1):
        return None
    return cast("Callable[[Tensor, slice], Tensor] | None", getattr(sae, "encode_latents", None))


def encode_tokens(sae: SAE, x_ND: Float[Tensor, "N D"]) -> SparseCodes | Tensor:
    """Codes of tokens: sparse where the SAE offers it, else dense (N, F). `x_ND` is cast to the SAE's dtype.

    Those of a wide SAE are sparse, too, where it can encode some of its latents at a time.

    Raises:
        SAEMismatchError: the SAE reads whole texts, and these are tokens without theirs.
    """
    if reads_rows(sae):
        raise SAEMismatchError("this SAE encodes a token by the tokens before it, and is asked for single tokens.")
    x_ND = x_ND.to(compute_dtype(sae))
    if (encode_sparse := sparse_encoder(sae)) is not None:
        return encode_sparse(x_ND)
    n_latents = int(sae.cfg.d_sae)
    if is_wide(n_latents) and (encode_latents := latent_encoder(sae)) is not None:
        return codes_by_blocks(encode_latents, x_ND, n_latents)
    return sae.encode(x_ND)


def encode_rows(sae: SAE, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L F"]:
    """Codes of whole texts, right-padded, of an SAE that reads rows. `x_BLD` is cast to its dtype."""
    return sae.encode(x_BLD.to(compute_dtype(sae)))


def decode_tokens(sae: SAE, codes: SparseCodes | Tensor) -> Float[Tensor, "N D"]:
    """Reconstructions of tokens; sparse codes of a linear decoder fetch their K decoder rows where that is cheaper."""
    if isinstance(codes, Tensor):
        return sae.decode(codes.to(compute_dtype(sae)))
    if is_wide(codes.d_sae) and decoder_is_linear(sae):
        return sums_of_rows(codes, sae.W_dec) + decoder_constant(sae)
    n_active = codes.values_NK.shape[1]
    if n_active * GATHER_COST >= codes.d_sae or not decoder_is_linear(sae):
        return sae.decode(codes.to_dense().to(compute_dtype(sae)))
    W_dec_FD = sae.W_dec
    summed_ND = torch.nn.functional.embedding_bag(
        codes.indices_NK, W_dec_FD, per_sample_weights=codes.values_NK.to(W_dec_FD.dtype), mode="sum"
    )
    return summed_ND + decoder_constant(sae)


def decoder_is_linear(sae: SAE) -> bool:
    """Whether `decode(f) = f @ W_dec + const`, so that ablating latent s subtracts `f_s * W_dec[s]`.

    An object says so itself with a boolean attribute `decoder_is_linear`; otherwise a few random codes are decoded.
    """
    declared = getattr(sae, "decoder_is_linear", None)
    if isinstance(declared, bool):
        return declared
    if getattr(sae.cfg, "normalize_activations", "none") in PER_TOKEN_NORMALIZATIONS:
        return False
    return linearity_error(sae) < _tolerance(sae.W_dec.dtype)


@torch.no_grad()
def linearity_error(sae: SAE, *, seed: int = 0) -> float:
    """Largest deviation of `decode` from `f @ W_dec + decode(0)` on random codes, relative to the largest output."""
    W_dec_FD = sae.W_dec
    generator = torch.Generator().manual_seed(seed)
    scale_N1 = torch.tensor([[0.1], [1.0], [10.0], [100.0]])
    codes_NF = (torch.rand(4, W_dec_FD.shape[0], generator=generator) * scale_N1).to(W_dec_FD)
    decoded_ND = (sae.decode(codes_NF) - decoder_constant(sae)).double()
    expected_ND = codes_NF.double() @ W_dec_FD.double()
    size_N = expected_ND.abs().amax(1).clamp(min=1e-12)
    return float(((decoded_ND - expected_ND).abs().amax(1) / size_N).max())


def encoder_bias(sae: Any) -> Tensor | None:
    """The bias of the magnitudes: `b_mag` for gated SAEs, `b_enc` else, None where there is none."""
    for name in ("b_mag", "b_enc"):
        bias = getattr(sae, name, None)
        if isinstance(bias, Tensor):
            return bias
    return None


def check_finite(sae: SAE) -> None:
    """Raise `SAELoadError` naming the first tensor that holds NaN or infinite values."""
    for name, tensor in weights(sae):
        rows = max(1, NUMBERS_AT_ONCE // max(1, tensor.shape[1:].numel()))
        parts = tensor.split(rows) if tensor.ndim else (tensor,)
        if n_bad := tensor.numel() - sum(int(torch.isfinite(part).sum()) for part in parts):
            raise SAELoadError(
                f"{name} of this SAE holds {n_bad} NaN or infinite values of {tensor.numel()}. The checkpoint is "
                "broken or was converted to a dtype too narrow for it; take another one."
            )


def check_encoding(sae: Any, x_BLD: Float[Tensor, "B L D"]) -> float:
    """Check that weights, configuration, `encode`, `decode` and the call of an SAE agree.

    Args:
        x_BLD: activations at its hook, in its dtype.
    Returns:
        The mean number of active latents per token, the first token of each text left out.
    Raises:
        SAEMismatchError: they do not agree.
    """
    d_in, d_sae = int(sae.cfg.d_in), int(sae.cfg.d_sae)
    d_out = int(sae.W_dec.shape[-1]) if writes_elsewhere(sae) else d_in
    for name, expected in (("W_dec", (d_sae, d_out)), ("W_enc", (d_in, d_sae))):
        if tuple(getattr(sae, name).shape) != expected:
            raise SAEMismatchError(f"{name} has shape {tuple(getattr(sae, name).shape)}, {expected} is needed.")
    f_BLF = sae.encode(x_BLD)
    flat_ND = (sae(x_BLD).flatten(0, 1) if reads_rows(sae) else sae(x_BLD.flatten(0, 1))).float()
    skipped_BLD = skip_path(sae, x_BLD)
    decoded_BLD = sae.decode(f_BLF) if skipped_BLD is None else sae.decode(f_BLF) + skipped_BLD
    difference = float((flat_ND - decoded_BLD.flatten(0, 1).float()).abs().max())
    size = float(flat_ND.abs().max())
    if not difference <= _tolerance(sae.W_dec.dtype) * max(size, 1.0):
        raise SAEMismatchError(f"calling this SAE and decode(encode(x)) differ by {difference:.3g} of {size:.3g}.")
    return float((f_BLF[:, 1:] != 0).sum(dim=-1).float().mean())


def weights(sae: SAE) -> Iterator[tuple[str, Tensor]]:
    """Every weight of an SAE with its name: its state if it is a module (or wraps one), else the usual attributes."""
    module = getattr(sae, "inner", sae)
    if isinstance(module, torch.nn.Module):
        yield from module.state_dict().items()
        return
    for name in ("W_enc", "W_dec", "b_enc", "b_dec", "b_mag", "gate_bias", "r_mag", "threshold", "W_skip"):
        value = getattr(sae, name, None)
        if isinstance(value, Tensor):
            yield name, value


def dtype_if_fixed(sae: Any) -> str | None:
    """The dtype of an SAE that cannot be cast, None for one that can."""
    return None if hasattr(sae, "to") or not hasattr(sae, "W_dec") else str(sae.W_dec.dtype).removeprefix("torch.")


def decoder_constant(sae: SAE) -> Float[Tensor, "1 D"]:
    """What no active latent decodes to; the object's `decoder_constant`, or found by decoding nothing."""
    declared = getattr(sae, "decoder_constant", None)
    return declared[None] if isinstance(declared, Tensor) else sae.decode(sae.W_dec.new_zeros(1, sae.W_dec.shape[0]))


def _tolerance(dtype: torch.dtype) -> float:
    return 5e-2 if dtype in HALF_PRECISION else 1e-3
