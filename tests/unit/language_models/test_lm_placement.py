"""Models whose parts are on several devices or wait on disk: every number is that of the plain model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sae_bench.errors import ModelError, UsageError
from sae_bench.language_models import LanguageModel, load_language_model
from sae_bench.language_models.branches import resume_point, run_branch
from sae_bench.language_models.generation import generate
from sae_bench.language_models.hooks import parse_hook_name
from sae_bench.language_models.interventions import Resume
from sae_bench.testing import check_model, run_checks, tiny_model

IDS = torch.tensor([[5, 9, 33, 17, 2], [4, 40, 8, 21, 11]])
HOOKS = ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_mid", "blocks.1.ln2.hook_normalized"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    made, tiny = tmp_path_factory.mktemp("llama"), tiny_model("llama")
    tiny.model.save_pretrained(made)
    tiny.tokenizer.save_pretrained(made)
    return str(made)


@pytest.fixture(scope="module")
def plain(folder: str) -> LanguageModel:
    return load_language_model(folder, device="cpu")


def divided(folder: str, on_disk: list[str]) -> LanguageModel:
    """The model of a folder, some modules on the CPU and some on disk."""
    modules = [
        "model.embed_tokens",
        *(f"model.layers.{i}" for i in range(3)),
        "model.norm",
        "model.rotary_emb",
        "lm_head",
    ]
    return load_language_model(folder, device_map={name: "disk" if name in on_disk else "cpu" for name in modules})


def offloaded(folder: str) -> LanguageModel:
    """The model with every weight waiting in the CPU's memory."""
    from accelerate import cpu_offload

    made = load_language_model(folder, device="cpu")
    cpu_offload(made.model, execution_device=torch.device("cpu"))
    return LanguageModel(made.model, made.tokenizer, name=made.name)


@pytest.fixture(scope="module", params=["two layers on disk", "all but a layer on disk", "all in memory"])
def spread(request: pytest.FixtureRequest, folder: str) -> LanguageModel:
    if request.param == "two layers on disk":
        return divided(folder, ["model.layers.0", "model.layers.2"])
    if request.param == "all in memory":
        return offloaded(folder)
    return divided(folder, ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "lm_head"])


class TestNumbersOfThePlainModel:
    def test_weights_really_wait(self, spread: LanguageModel):
        assert any(weight.device.type == "meta" for weight in spread.model.parameters())
        assert spread.device == torch.device("cpu")

    def test_capture_and_early_exit(self, plain: LanguageModel, spread: LanguageModel):
        for hooks in (HOOKS, HOOKS[:1]):
            expected, got = plain.capture(IDS, hooks), spread.capture(IDS, hooks)
            assert all(torch.equal(expected[hook], got[hook]) for hook in hooks)

    def test_logits(self, plain: LanguageModel, spread: LanguageModel):
        assert torch.equal(plain.unembed(plain.final_hidden(IDS)), spread.unembed(spread.final_hidden(IDS)))

    def test_resume(self, plain: LanguageModel, spread: LanguageModel):
        stream_BLD = plain.capture(IDS, ["blocks.1.hook_resid_post"])["blocks.1.hook_resid_post"]
        for layer, start_BLD in ((2, stream_BLD), (3, stream_BLD), (0, stream_BLD)):
            resume = Resume(layer, start_BLD)
            assert torch.equal(plain.final_hidden(IDS, resume=resume), spread.final_hidden(IDS, resume=resume))
        assert torch.equal(plain.final_hidden(IDS), spread.final_hidden(IDS))  # skipped layers run again

    @pytest.mark.parametrize("name", ["blocks.0.hook_resid_post", "blocks.1.hook_mlp_out", "blocks.1.hook_resid_mid"])
    def test_branches(self, plain: LanguageModel, spread: LanguageModel, name: str):
        point = parse_hook_name(name)
        outcomes = []
        for lm in (plain, spread):
            values = lm.capture(IDS, [name, f"blocks.{point.layer}.hook_resid_pre"])
            outcomes.append(run_branch(lm, point, IDS, resume_point(point, values), values[name] * 0.5))
        assert torch.equal(*outcomes)

    def test_gradients_of_a_replaced_value(self, plain: LanguageModel, spread: LanguageModel):
        gradients = []
        for lm in (plain, spread):
            scale = torch.ones(32, requires_grad=True)
            hidden_BLD = lm.final_hidden(IDS, replace={"blocks.0.hook_resid_post": lambda x, s=scale: x * s})
            lm.unembed(hidden_BLD).logsumexp(dim=-1).sum().backward()
            gradients.append(scale.grad)
        assert torch.equal(*gradients)

    def test_generation(self, plain: LanguageModel, spread: LanguageModel):
        assert spread.reads_on()
        assert spread.shares_beginnings()
        assert generate(spread, IDS, n_tokens=4) == generate(plain, IDS, n_tokens=4)

    def test_fingerprint(self, plain: LanguageModel, spread: LanguageModel):
        assert spread.fingerprint() == plain.fingerprint() == spread.fingerprint()


def test_the_contract_of_models_holds(folder: str):
    run_checks(check_model(divided(folder, ["model.layers.1"])))


def test_a_model_says_where_its_parts_are(folder: str, plain: LanguageModel):
    assert plain.device_map is None
    assert load_language_model(folder, device_map='{"": "cpu"}').device_map is None
    assert divided(folder, ["model.layers.1"]).device_map == {
        "model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "cpu",
        "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu",
    }  # fmt: skip


@pytest.mark.parametrize("way", ["auto", "balanced"])
def test_accelerate_divides_by_itself(way: str, folder: str, plain: LanguageModel):
    assert torch.equal(load_language_model(folder, device_map=way).final_hidden(IDS), plain.final_hidden(IDS))


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ("everywhere", "'everywhere' is neither auto nor balanced nor JSON"),
        ("[1]", "nor JSON that maps modules to devices"),
        ({"": "meta"}, "module '' cannot go to 'meta'; use cpu, disk"),
        ({"": True}, "cannot go to True"),
        ({"lm_head": "gpu"}, "module 'lm_head' cannot go to 'gpu'"),
    ],
)
def test_maps_that_say_nothing(device_map: object, message: str, folder: str):
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        load_language_model(folder, device_map=device_map)  # type: ignore[arg-type]


def test_a_map_that_leaves_modules_out(folder: str):
    with pytest.raises(ModelError, match="device_map"):
        load_language_model(folder, device_map=json.dumps({"lm_head": "disk"}))


def test_a_place_and_a_map_exclude_each_other(folder: str):
    with pytest.raises(UsageError, match=r"so does device \(cpu\)"):
        load_language_model(folder, device="cpu", device_map="auto")


def test_kinds_of_models_that_cannot_have_it(tmp_path: Path):
    (tmp_path / "a.gguf").touch()
    with pytest.raises(UsageError, match=r"device_map: not for '.*a\.gguf', a GGUF file"):
        load_language_model(str(tmp_path / "a.gguf"), device_map="auto")
    with pytest.raises(UsageError, match=r"quantize: not for '.*a\.gguf', a GGUF file"):
        load_language_model(str(tmp_path / "a.gguf"), quantize="8bit")
    for asked in ({"device_map": "auto"}, {"attn_implementation": "eager"}, {"quantize": "4bit"}):
        with pytest.raises(UsageError, match=f"{next(iter(asked))}: not for 'synthetic:small', a synthetic model"):
            load_language_model("synthetic:small", **asked)  # type: ignore[arg-type]


def test_attention_is_chosen_and_tells_models_apart(folder: str, plain: LanguageModel):
    eager = load_language_model(folder, attn_implementation="eager")
    usual = load_language_model(folder, attn_implementation="sdpa")
    assert (plain.attention, usual.attention, eager.attention) == ("sdpa", "sdpa", "eager")
    assert usual.fingerprint() == plain.fingerprint() != eager.fingerprint()
    torch.testing.assert_close(eager.final_hidden(IDS), plain.final_hidden(IDS))  # the same but for rounding
    with pytest.raises(ModelError, match="attn_implementation"):
        load_language_model(folder, attn_implementation="telepathy")
