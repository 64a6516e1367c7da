"""Models with quantised weights: loaded as they are, told apart by the parts that a weight consists of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.errors import UsageError
from sae_bench.language_models import load_language_model
from sae_bench.language_models.fingerprint import hash_of_model, plain_weights
from sae_bench.testing import check_model, run_checks, tiny_model


class _Quantised(torch.Tensor):
    """A weight as torchao makes it: integers and scales."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["qdata", "scale"], None


def mark(scale: float) -> str:
    weight: Any = torch.zeros(2, 3).as_subclass(_Quantised)
    weight.qdata, weight.scale = torch.arange(6).view(2, 3).to(torch.int8), torch.tensor([scale, 1.0])
    return hash_of_model({}, "", plain_weights([("a", weight), ("b", torch.ones(2))]))


def test_a_quantised_weight_counts_by_its_parts():
    assert mark(0.5) == mark(0.5)
    assert mark(0.5) != mark(0.25)


def quantised(library: str) -> Any:
    import transformers

    pytest.importorskip(library, reason=f"pip install --no-deps {library}")
    if library == "bitsandbytes":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    from torchao.quantization import Int8WeightOnlyConfig

    return transformers.TorchAoConfig(Int8WeightOnlyConfig())


@pytest.mark.parametrize("library", ["bitsandbytes", "torchao"])
def test_folders_of_int8_weights_load(library: str, tmp_path: Path):
    from transformers import AutoModelForCausalLM

    settings, plain = quantised(library), tiny_model("llama")
    plain.model.save_pretrained(tmp_path / "plain")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", quantization_config=settings, device_map="cpu")
    made.save_pretrained(tmp_path / "int8")
    plain.tokenizer.save_pretrained(tmp_path / "int8")
    assert "quantization_config" in json.loads((tmp_path / "int8" / "config.json").read_text())
    lm = load_language_model(str(tmp_path / "int8"), device="cpu")
    ids = torch.tensor([[5, 9, 33, 17]])
    difference = (lm.final_hidden(ids) - plain.final_hidden(ids)).abs().max() / plain.final_hidden(ids).abs().max()
    assert 1e-5 < float(difference) < 0.1
    assert lm.fingerprint() != plain.fingerprint()
    reasons = {"batches": "which entries are kept in half precision goes by all rows of a batch"}
    run_checks(check_model(lm, expected_failures=reasons if library == "bitsandbytes" else {}))
    if library == "bitsandbytes":
        with pytest.raises(UsageError, match="is quantised, and its other weights are float32; bfloat16 was asked for"):
            load_language_model(str(tmp_path / "int8"), device="cpu", dtype="bfloat16")
