"""The cache of activations on disk: hits, misses, files cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pass_samples import HOOK, CountedModel, member, random_texts

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.activations.requests import PooledTexts, PooledValues, only
from sae_bench.activations.store import ActivationStore
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_model

IDS = torch.arange(10, 22).view(2, 6)


def pool(lm: LanguageModel, texts: list[list[int]], folder: Path, hook: str = HOOK) -> PooledValues:
    options = PassOptions(store=ActivationStore(folder), max_texts=3)
    report = run_pass(lm, [PooledTexts(texts)], [member("topk", hook=hook)], options)
    assert not report.failed
    return only(report.served, PooledValues)


def test_the_second_run_makes_no_forward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    texts = random_texts(lm, 7)
    first = pool(lm, texts, tmp_path)
    counted = CountedModel(lm, monkeypatch)
    monkeypatch.setattr(lm.base, "forward", None)
    second = pool(lm, texts, tmp_path)
    assert counted.batches == []
    assert torch.equal(first.activations[HOOK], second.activations[HOOK])
    index = torch.arange(7)
    assert torch.equal(first.codes["tiny_topk_0"].rows(index), second.codes["tiny_topk_0"].rows(index))


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    lm = tiny_model("llama")
    store = ActivationStore(tmp_path)
    store.save(lm, IDS, lm.capture(IDS, [HOOK]))
    return store


def test_a_hit_is_what_was_saved(store: ActivationStore):
    lm = tiny_model("llama")
    kept = ActivationStore(store.folder).load(lm, [HOOK], IDS)
    assert kept is not None
    assert torch.equal(kept[HOOK], lm.capture(IDS, [HOOK])[HOOK])


def test_other_texts_shapes_and_hooks_miss(store: ActivationStore):
    lm = tiny_model("llama")
    changed = IDS.clone()
    changed[1, 3] += 1
    assert store.load(lm, [HOOK], changed) is None
    assert store.load(lm, [HOOK], IDS.view(3, 4)) is None
    assert store.load(lm, [HOOK], IDS[:1]) is None
    assert store.load(lm, ["blocks.0.hook_resid_post"], IDS) is None
    assert store.load(lm, [HOOK, "blocks.0.hook_resid_post"], IDS) is None


def test_other_models_miss(store: ActivationStore):
    changed = tiny_model("llama")
    changed.layers[0].get_submodule("mlp.up_proj").get_parameter("weight")[0, 0] += 1e-3
    halved = tiny_model("llama")
    narrow = LanguageModel(halved.model.bfloat16(), halved.tokenizer, name=halved.name)
    no_bos = LanguageModel(tiny_model("llama").model, halved.tokenizer, name=halved.name, prepend_bos=False)
    for lm in (changed, narrow, no_bos, tiny_model("llama", seed=1)):
        assert store.load(lm, [HOOK], IDS) is None


@pytest.mark.parametrize("keep", [0, 4, 60, -10])
def test_a_file_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int):
    lm = tiny_model("llama")
    texts = random_texts(lm, 7)
    first = pool(lm, texts, tmp_path)
    path = sorted(tmp_path.rglob("*.safetensors"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    counted = CountedModel(lm, monkeypatch)
    second = pool(lm, texts, tmp_path)
    assert len(counted.batches) == 1
    assert torch.equal(first.activations[HOOK], second.activations[HOOK])
    assert path.read_bytes() == whole
