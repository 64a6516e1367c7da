"""What every SAE has to keep: `check_sae(sae)` in one call, or check by check with `sae_checks(sae)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes.interface import (
    HALF_PRECISION,
    SparseCodes,
    decode_tokens,
    linearity_error,
    reads_rows,
    sparse_encoder,
    weights,
    writes_elsewhere,
)
from sae_bench.errors import ContractError
from sae_bench.testing.checks import Check, declared

_MEMBERS = ("cfg", "W_dec", "encode", "decode")
_CONFIG = ("d_in", "d_sae", "hook_name")
_EDGE_SHARE = {False: 0.005, True: 0.1}
"""Share of active latents that rounding may switch, in full and in half precision."""
_N_ALONE = 8
STRUCTURE = "structure"
"""The check that all others need."""


@dataclass(frozen=True)
class SAEReport:
    """What `check_sae` found on an SAE that keeps the contract."""

    checked: tuple[str, ...]
    """Names of the checks that ran."""
    warnings: tuple[str, ...]
    """Allowed, but something that a reader of scores has to know."""


@dataclass(frozen=True)
class _Subject:
    """The SAE with the inputs and outputs that the checks share."""

    sae: Any
    x_ND: Tensor
    f_NF: Tensor
    tolerance: float
    input_changed: bool
    """Whether encoding changed the activations it was given."""

    def differs(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors differ by more than rounding, relative to the larger one's largest entry."""
        if a.shape != b.shape:
            return True
        size = max(float(a.abs().max()), float(b.abs().max()), 1.0)
        return not float((a.double() - b.double()).abs().max()) <= self.tolerance * size

    def codes_differ(self, a: Tensor, b: Tensor) -> bool:
        """As `differs`, but a few latents at the edge of firing may go either way by rounding."""
        if a.shape != b.shape:
            return True
        size = max(float(a.abs().max()), float(b.abs().max()), 1.0)
        n_off = int((~((a.double() - b.double()).abs() <= self.tolerance * size)).sum())
        n_active = int(((a != 0) | (b != 0)).sum())
        return n_off > max(1, _EDGE_SHARE[self.x_ND.dtype in HALF_PRECISION] * n_active)


def sae_checks(
    sae: Any,
    *,
    expected_failures: Mapping[str, str] | None = None,
    n_tokens: int = 64,
    dtype_tolerance: float | None = None,
    seed: int = 0,
) -> Iterator[Check]:
    """The checks of an SAE, one by one; the SAE encodes nothing before the first of them is called.

    Args:
        sae: as for `check_sae`.
        expected_failures: name of a check -> why this SAE cannot keep it.
        n_tokens: how many random activations are encoded.
        dtype_tolerance: as for `check_sae`.
        seed: of the activations.
    Raises:
        UsageError: an expected failure names no check.
    """
    subject = cache(partial(_subject, sae, n_tokens, dtype_tolerance, seed))

    @torch.no_grad()
    def findings(name: str) -> Iterator[str]:
        if faults := list(_structure(sae)):
            return iter(faults if name == STRUCTURE else [f"not run: {STRUCTURE} fails."])
        return iter([] if name == STRUCTURE else list(_CHECKS[name](subject())))

    checks = (Check(name, partial(findings, name)) for name in (STRUCTURE, *_CHECKS))
    yield from declared(checks, expected_failures or {})


@torch.no_grad()
def check_sae(sae: Any, *, n_tokens: int = 64, dtype_tolerance: float | None = None, seed: int = 0) -> SAEReport:
    """Run every check of the contract on an SAE.

    Args:
        sae: any object; on any device, in any dtype.
        n_tokens: how many random activations are encoded.
        dtype_tolerance: how far results may differ by rounding, relative to the largest value; by default 1e-4, and
            3e-2 in half precision.
        seed: of the activations.
    Raises:
        ContractError: all failures at once, each with what to do.
    """
    failures = list(_structure(sae))
    if failures:
        raise ContractError(_message(sae, failures))
    try:
        subject = _subject(sae, n_tokens, dtype_tolerance, seed)
    except ContractError as error:
        raise ContractError(_message(sae, [str(error)])) from error
    for name, check in _CHECKS.items():
        try:
            failures.extend(check(subject))
        except Exception as error:  # the user's code may raise anything; what it raised is the finding
            failures.append(_raised(name, subject.x_ND, error))
    if failures:
        raise ContractError(_message(sae, failures))
    return SAEReport((STRUCTURE, *_CHECKS), tuple(_warnings(sae)))


def _subject(sae: Any, n_tokens: int, dtype_tolerance: float | None, seed: int) -> _Subject:
    """What the checks share. Raises `ContractError` if the SAE cannot encode."""
    tolerance = 3e-2 if sae.W_dec.dtype in HALF_PRECISION else 1e-4
    x_ND = torch.randn(n_tokens, sae.cfg.d_in, generator=torch.Generator().manual_seed(seed)).to(sae.W_dec)
    before_ND = x_ND.clone()
    try:
        f_NF = sae.encode(x_ND)
    except Exception as error:  # as above
        raise ContractError(_raised("encode", before_ND, error)) from error
    changed = not torch.equal(before_ND, x_ND)
    return _Subject(sae, before_ND, f_NF, tolerance if dtype_tolerance is None else dtype_tolerance, changed)


def _structure(sae: object) -> Iterator[str]:
    for name in _MEMBERS:
        if not hasattr(sae, name):
            yield f"there is no {name}: every SAE has {', '.join(_MEMBERS)}."
    cfg = getattr(sae, "cfg", None)
    for name in _CONFIG if cfg is not None else ():
        if not hasattr(cfg, name):
            yield f"cfg has no {name}: use CustomSAEConfig, or add the field to your own configuration."
    W_dec = getattr(sae, "W_dec", None)
    if W_dec is not None and not isinstance(W_dec, Tensor):
        yield f"W_dec is {type(W_dec).__name__}; it has to be a tensor."
    elif W_dec is not None and hasattr(cfg, "d_sae") and hasattr(cfg, "d_in"):
        expected = (cfg.d_sae, _width_out(sae))  # type: ignore[union-attr]
        if tuple(W_dec.shape) != expected:
            yield f"W_dec has shape {tuple(W_dec.shape)}; it has to be (d_sae, d_in) = {expected}: transpose it?"
    W_enc = getattr(sae, "W_enc", None)
    if isinstance(W_enc, Tensor) and isinstance(W_dec, Tensor) and hasattr(cfg, "d_in"):
        expected = (cfg.d_in, W_dec.shape[0])  # type: ignore[union-attr]
        if tuple(W_enc.shape) != expected:
            yield f"W_enc has shape {tuple(W_enc.shape)}; it has to be (d_in, d_sae) = {expected}."
    W_skip = getattr(sae, "W_skip", None)
    if isinstance(W_skip, Tensor) and hasattr(cfg, "d_in"):
        expected = (_width_out(sae), cfg.d_in)  # type: ignore[union-attr]
        if tuple(W_skip.shape) != expected:
            yield f"W_skip has shape {tuple(W_skip.shape)}; it has to be (d_out, d_in) = {expected}."


def _width_out(sae: Any) -> int:
    """What `decode` has to give: as much as is read, unless it is a transcoder."""
    transcoder = hasattr(sae.cfg, "hook_name") and writes_elsewhere(sae)
    return int(sae.W_dec.shape[-1] if transcoder else sae.cfg.d_in)


def _weights(s: _Subject) -> Iterator[str]:
    for name, tensor in weights(s.sae):
        if not torch.isfinite(tensor).all():
            yield f"{name} holds NaN or infinite values."


def _shapes_and_dtypes(s: _Subject) -> Iterator[str]:
    if s.input_changed:
        yield "encode changes its input: work on a copy (no in-place operations on x)."
    findings = list(_outputs("encode", s.f_NF, s.sae.cfg.d_sae, s))
    yield from findings
    if not findings:
        yield from _outputs("decode", s.sae.decode(s.f_NF.clone()), _width_out(s.sae), s)


def _outputs(name: str, output: Tensor, width: int, s: _Subject) -> Iterator[str]:
    expected = (len(s.x_ND), width)
    if tuple(output.shape) != expected:
        yield f"{name} gives shape {tuple(output.shape)} for {expected[0]} tokens; it has to be {expected}."
    if output.dtype != s.x_ND.dtype:
        yield f"{name} gives {output.dtype} in an SAE of {s.x_ND.dtype}: cast the result (or the constants) to it."
    if not torch.isfinite(output).all():
        yield f"{name} gives NaN or infinite values for standard normal input."


def _batch_dimensions(s: _Subject) -> Iterator[str]:
    half = len(s.x_ND) // 2
    f_NF = s.f_NF[: 2 * half]
    if reads_rows(s.sae):
        f_NF = torch.cat([s.f_NF[:half], s.sae.encode(s.x_ND[half : 2 * half].clone())])
    f_BLF = s.sae.encode(s.x_ND[: 2 * half].view(2, half, -1).clone())
    if s.codes_differ(f_BLF.reshape(2 * half, -1), f_NF):
        yield "encode of (batch, sequence, d_in) differs from (tokens, d_in): treat all but the last dimension alike."
        return
    decoded_BLD = s.sae.decode(f_NF.view(2, half, -1).clone())
    s.sae.encode(s.x_ND[: 2 * half].clone())  # SAEs that normalise each token decode what they encoded last
    if s.differs(decoded_BLD.reshape(2 * half, -1), s.sae.decode(f_NF.clone())):
        yield "decode of (batch, sequence, d_sae) differs from (tokens, d_sae): treat all but the last dimension alike."


def _determinism(s: _Subject) -> Iterator[str]:
    if s.differs(s.sae.encode(s.x_ND.clone()), s.f_NF):
        yield "encode gives another result on the second call: no dropout, noise or running state at inference."


def _independence(s: _Subject) -> Iterator[str]:
    """A token's code may not depend on which tokens are encoded with it, but on those before it if it reads rows."""
    if reads_rows(s.sae):
        if s.codes_differ(s.sae.encode(s.x_ND[:_N_ALONE].clone()), s.f_NF[:_N_ALONE]):
            yield "a token's code depends on tokens after it: rows are padded at their end, so only those before count."
        return
    reversed_NF = s.sae.encode(s.x_ND.flip(0)).flip(0)
    alone_NF = torch.cat([s.sae.encode(x_1D.clone()) for x_1D in s.x_ND[:_N_ALONE].split(1)])
    if s.codes_differ(reversed_NF, s.f_NF) or s.codes_differ(alone_NF, s.f_NF[:_N_ALONE]):
        yield (
            "a token's code depends on the other tokens of its batch (top-k over the batch, batch statistics?): at "
            "inference each token has to be encoded by itself; BatchTopK uses a global threshold."
        )


def _linear_decoder(s: _Subject) -> Iterator[str]:
    if not getattr(s.sae, "decoder_is_linear", False):
        return
    error = linearity_error(s.sae)
    if not error < max(10 * s.tolerance, 1e-3):
        yield (
            f"decoder_is_linear is set, but decode(f) differs from f @ W_dec + decode(0) by {error:.2g} of its size: "
            "set it to False, or make W_dec the matrix that decode uses."
        )


def _sparse_codes(s: _Subject) -> Iterator[str]:
    encode_sparse = sparse_encoder(s.sae)
    if encode_sparse is None:
        return
    codes = encode_sparse(s.x_ND.clone())
    if not isinstance(codes, SparseCodes):
        yield f"encode_sparse gives {type(codes).__name__}; it has to give SparseCodes."
        return
    if codes.indices_NK.dtype != torch.int64 or codes.values_NK.shape != codes.indices_NK.shape:
        yield "the indices of encode_sparse have to be int64, one for each value."
    elif s.codes_differ(codes.to_dense(), s.f_NF):
        yield "encode_sparse gives other codes than encode."
    elif s.differs(decode_tokens(s.sae, codes), s.sae.decode(codes.to_dense())):
        yield "decoding sparse codes differs from decode: set decoder_is_linear to False?"


_CHECKS: dict[str, Callable[[_Subject], Iterator[str]]] = {
    "weights": _weights,
    "shapes_and_dtypes": _shapes_and_dtypes,
    "batch_dimensions": _batch_dimensions,
    "determinism": _determinism,
    "independence": _independence,
    "linear_decoder": _linear_decoder,
    "sparse_codes": _sparse_codes,
}


def _warnings(sae: Any) -> Iterator[str]:
    norm_F = sae.W_dec.float().norm(dim=1)
    if float((norm_F - 1).abs().max()) > 1e-2:
        yield (
            f"decoder rows have lengths from {float(norm_F.min()):.4g} to {float(norm_F.max()):.4g}, not 1: "
            "fold_decoder_norm moves them into the encoder where the architecture allows it."
        )
    if any(tensor.requires_grad for _, tensor in weights(sae)) or sae.W_dec.requires_grad:
        yield "weights require gradients: call requires_grad_(False), or results keep their graph in memory."


def _raised(where: str, x: Tensor, error: Exception) -> str:
    return f"{where} raised {type(error).__name__}: {error} (input of shape {tuple(x.shape)}, {x.dtype})."


def _message(sae: object, failures: list[str]) -> str:
    listed = "".join(f"\n  {number}. {failure}" for number, failure in enumerate(failures, 1))
    return f"{type(sae).__name__} does not keep the contract of an SAE ({len(failures)} findings):{listed}"
