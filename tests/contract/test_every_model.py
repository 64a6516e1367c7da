"""Every model family keeps the contract, and a model that does not is found out."""

from __future__ import annotations

import pytest
import torch
from lm_families import FAMILIES, family_model

from sae_bench.errors import ContractError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.testing import check_model, run_checks, tiny_model

NAMES = [check.name for check in check_model(tiny_model())]


@pytest.mark.parametrize("family", FAMILIES)
def test_contract(family: str) -> None:
    assert run_checks(check_model(family_model(family))).checked == tuple(NAMES)


class _Noisy(LanguageModel):
    noise = 0.0

    def final_hidden(self, *args: object, **kwargs: object) -> torch.Tensor:
        hidden = super().final_hidden(*args, **kwargs)
        return hidden + self.noise * torch.rand_like(hidden)


def noisy_model() -> _Noisy:
    plain = tiny_model()
    noisy = _Noisy(plain.model, plain.tokenizer, name="noisy")
    noisy.noise = 1.0  # only now: a model's head is tried out when it is made
    return noisy


def test_a_noisy_model_is_found_out() -> None:
    with pytest.raises(ContractError, match=r"left_alone: .*the second time") as raised:
        run_checks(check_model(noisy_model()))
    assert "resume:" in str(raised.value)


def test_expected_failures() -> None:
    reasons = dict.fromkeys(("left_alone", "resume", "replace", "batches", "logits"), "noise")
    assert run_checks(check_model(noisy_model(), expected_failures=reasons)).expected == reasons
    with pytest.raises(ContractError, match="resume holds, but is declared to fail: noise"):
        run_checks(check_model(tiny_model(), expected_failures={"resume": "noise"}))
    with pytest.raises(UsageError, match="do not exist: resum"):
        list(check_model(tiny_model(), expected_failures={"resum": "noise"}))
