"""The contract checks: pass on every class here, and catch what they are there for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sae_bench.errors import ContractError
from sae_bench.testing import ARCHITECTURES, check_sae, run_checks, sae_checks, tiny_sae


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_keeps_the_contract(architecture: str, dtype: torch.dtype) -> None:
    report = check_sae(tiny_sae(architecture).to(dtype=dtype))
    assert report.warnings == ()
    assert "independence" in report.checked


class _Wrapped:
    """A ReLU SAE by composition, to break one thing at a time."""

    def __init__(self) -> None:
        self.inside = tiny_sae("relu", d_in=16, d_sae=24)
        self.cfg: Any = self.inside.cfg
        self.W_dec = self.inside.W_dec

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside.encode(x)

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.inside.decode(f)


class _InPlace(_Wrapped):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside.encode(x.sub_(1.0))


class _OverBatch(_Wrapped):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        f = self.inside.encode(x)
        kth = f.flatten().topk(4 * f.shape[:-1].numel()).values[-1]
        return f * (f >= kth)


class _Noisy(_Wrapped):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.inside.encode(x), 0.3)


class _OtherDtype(_Wrapped):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside.encode(x).double()


class _NotLinear(_Wrapped):
    decoder_is_linear = True

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.inside.decode(f).tanh()


class _Endless(_Wrapped):
    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.inside.decode(f) / 0.0


class _Sequence(_Wrapped):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside.encode(x - x.mean(-2, keepdim=True) if x.ndim == 3 else x)


class _WrongSparse(_Wrapped):
    def encode_sparse(self, x: torch.Tensor) -> Any:
        from sae_bench.custom_saes.codes import largest

        return largest(self.inside.encode(x), 2)


class _Raising(_Wrapped):
    def decode(self, f: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no decoder today")


@pytest.mark.parametrize(
    ("cls", "finding"),
    [
        (_InPlace, "encode changes its input"),
        (_OverBatch, "depends on the other tokens"),
        (_Noisy, "another result on the second call"),
        (_OtherDtype, "encode gives torch.float64"),
        (_NotLinear, "decoder_is_linear is set"),
        (_Endless, "decode gives NaN or infinite"),
        (_Sequence, "treat all but the last dimension alike"),
        (_WrongSparse, "other codes than encode"),
        (_Raising, "no decoder today"),
    ],
)
def test_each_breach_is_found(cls: type[_Wrapped], finding: str) -> None:
    check_sae(_Wrapped())
    with pytest.raises(ContractError, match=finding):
        check_sae(cls())


def test_missing_parts_are_all_listed() -> None:
    class Empty:
        cfg = object()

    with pytest.raises(ContractError) as error:
        check_sae(Empty())  # type: ignore[arg-type]
    for name in ("W_dec", "encode", "decode", "d_in", "d_sae", "hook_name"):
        assert f" no {name}" in str(error.value)


def test_wrong_shapes_are_found_before_anything_runs() -> None:
    sae = _Wrapped()
    sae.W_dec = torch.nn.Parameter(sae.inside.W_dec.T.clone())
    with pytest.raises(ContractError, match="transpose it"):
        check_sae(sae)


def test_norms_and_gradients_are_warnings() -> None:
    sae = _Wrapped()
    sae.inside.requires_grad_(True)
    with torch.no_grad():
        sae.inside.W_dec.mul_(2.0)
    warnings = check_sae(sae).warnings
    assert any("lengths from 2 to 2" in w for w in warnings)
    assert any("require gradients" in w for w in warnings)


def test_the_named_checks_are_those_of_the_one_call() -> None:
    assert run_checks(sae_checks(tiny_sae("topk"))).checked == check_sae(tiny_sae("topk")).checked


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (_InPlace, "shapes_and_dtypes"),
        (_OverBatch, "independence"),
        (_NotLinear, "linear_decoder"),
        (_WrongSparse, "sparse_codes"),
    ],
)
def test_a_breach_fails_the_check_of_its_name(cls: type[_Wrapped], name: str) -> None:
    checks = {check.name: check for check in sae_checks(cls())}
    with pytest.raises(ContractError, match=f"^{name}:"):
        checks[name]()
    checks["weights"]()


def test_a_declared_failure_has_to_fail() -> None:
    run_checks(sae_checks(_WrongSparse(), expected_failures={"sparse_codes": "keeps two latents"}))
    with pytest.raises(ContractError, match="sparse_codes holds, but is declared to fail"):
        run_checks(sae_checks(_Wrapped(), expected_failures={"sparse_codes": "keeps two latents"}))


def test_without_the_structure_no_other_check_holds() -> None:
    with pytest.raises(ContractError, match="no W_dec"):
        run_checks(sae_checks(object()))
    for check in list(sae_checks(object()))[1:]:
        with pytest.raises(ContractError, match="structure fails"):
            check()
