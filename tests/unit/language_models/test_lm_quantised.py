"""Models with quantised weights: loaded as they are, told apart by the parts that a weight consists of."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.errors import PrerequisiteError, UnknownNameError, UsageError
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plain = tiny_model("llama")
    plain.model.save_pretrained(tmp_path)
    plain.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_weights_are_quantised_when_they_are_read(folder: Path):
    pytest.importorskip("bitsandbytes", reason="pip install --no-deps bitsandbytes")
    plain = load_language_model(str(folder), device="cpu")
    lm = load_language_model(str(folder), device="cpu", quantize="8bit")
    ids = torch.tensor([[5, 9, 33, 17]])
    difference = (lm.final_hidden(ids) - plain.final_hidden(ids)).abs().max() / plain.final_hidden(ids).abs().max()
    assert 1e-5 < float(difference) < 0.1
    assert (plain.quantisation, lm.quantisation) == (None, "8bit")
    again = load_language_model(str(folder), device="cpu", quantize="8bit")
    assert again.fingerprint() == lm.fingerprint() != plain.fingerprint()


def bitsandbytes_is_there(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Whatever is installed here."""
    find_spec = importlib.util.find_spec
    answer = object() if there else None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: answer if name == "bitsandbytes" else find_spec(name, *given)
    )


def test_what_cannot_be_quantised(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UnknownNameError, match="unknown quantisation '2bit'"):
        load_language_model(str(folder), device="cpu", quantize="2bit")
    bitsandbytes_is_there(monkeypatch, False)
    with pytest.raises(PrerequisiteError, match="not installed: pip install bitsandbytes"):
        load_language_model(str(folder), device="cpu", quantize="8bit")


def test_quantised_weights_are_not_quantised_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    config = json.loads((folder / "config.json").read_text())
    stated = {**config, "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}
    (folder / "config.json").write_text(json.dumps(stated))
    bitsandbytes_is_there(monkeypatch, True)
    with pytest.raises(UsageError, match="whose weights are quantised already"):
        load_language_model(str(folder), device="cpu", quantize="8bit")


def test_four_bits_need_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch):
    bitsandbytes_is_there(monkeypatch, True)
    with pytest.raises(PrerequisiteError, match="4bit needs a GPU, the device is cpu"):
        load_language_model(str(folder), device="cpu", quantize="4bit")
