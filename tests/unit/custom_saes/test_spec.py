"""From specs to handles to SAEs, and every way to write one wrongly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.custom_saes.identity_sae import IdentitySAE, ZeroSAE
from sae_bench.custom_saes.loaders import embedded
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import load_member
from sae_bench.custom_saes.pca_sae import PCASAE
from sae_bench.custom_saes.random_sae import RandomSAE
from sae_bench.custom_saes.spec import SPEC_FORMS, LoadContext, resolve_spec
from sae_bench.errors import (
    ExitError,
    HookError,
    SAELoadError,
    SAEMismatchError,
    UnknownNameError,
    UsageError,
)
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("gpt2")


@pytest.mark.parametrize(
    "spec", ["", "nonsense", "path:", ":x", "gemma_scope:repo", "sae_lens:release", "python:module"]
)
def test_malformed_specs_show_the_forms(spec: str) -> None:
    with pytest.raises(UsageError) as error:
        resolve_spec(spec)
    assert any(form in str(error.value) for form in SPEC_FORMS.values())


def test_an_unknown_scheme_is_corrected() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'embedded'"):
        resolve_spec("embeded:.*")


# ---- baselines


@pytest.mark.parametrize(
    ("name", "cls"), [("identity", IdentitySAE), ("zero", ZeroSAE), ("random", RandomSAE), ("pca", PCASAE)]
)
def test_baselines_take_model_and_hook_from_the_run(
    name: str, cls: type, lm: LanguageModel, context: LoadContext
) -> None:
    batches = [torch.randn(100, 32)]
    run = dataclasses.replace(context, lm=lm, hook_name=HOOK, activations=lambda _hook: iter(batches))
    (handle,) = resolve_spec(f"baseline:{name}")
    assert (handle.name, handle.hook_name) == (f"baseline_{name}", None)
    sae = handle.load(run)
    assert type(sae) is cls
    assert (sae.cfg.d_in, sae.cfg.hook_name, sae.cfg.hook_layer) == (32, HOOK, 1)
    member = load_member(handle, run, lm)
    assert (member.hook_name, member.warnings) == (HOOK, ())


def test_a_baseline_with_its_own_hook(lm: LanguageModel, context: LoadContext) -> None:
    (handle,) = resolve_spec("baseline:random@blocks.2.mlp.hook_post")
    assert (handle.hook_name, handle.sae_id) == ("blocks.2.mlp.hook_post", "random_blocks.2.mlp.hook_post")
    sae = handle.load(dataclasses.replace(context, lm=lm))
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (64, 256)
    assert (sae.encode(torch.randn(3, 64)) > 0).sum(1).tolist() == [32, 32, 32]


def test_baseline_errors(lm: LanguageModel, context: LoadContext) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'identity'"):
        resolve_spec("baseline:identiti")
    with pytest.raises(HookError, match="no hook name"):
        resolve_spec("baseline:zero@layer 3")
    with pytest.raises(UsageError, match="is no SAE spec"):
        resolve_spec("baseline:zero@")
    with pytest.raises(UsageError, match="takes its width from a model"):
        resolve_spec("baseline:zero")[0].load(context)
    with pytest.raises(UsageError, match="fitted to corpus activations"):
        resolve_spec("baseline:pca")[0].load(dataclasses.replace(context, lm=lm, hook_name=HOOK))
    with pytest.raises(HookError, match="beyond the model's depth"):
        resolve_spec("baseline:zero@blocks.9.hook_resid_post")[0].load(dataclasses.replace(context, lm=lm))


# ---- the embedded suite


def test_the_embedded_suite_is_chosen_by_whole_names(tmp_path: Path, context: LoadContext) -> None:
    for name in ("relu_l10", "topk_l10", "topk_l20"):
        save_sae(tiny_sae(name.split("_")[0]), tmp_path / f"{name}.safetensors", dtype=torch.float16)
    handles = embedded.resolve("topk.*", suite=tmp_path)
    assert [handle.name for handle in handles] == ["embedded_topk_l10", "embedded_topk_l20"]
    assert handles[0].load(context).cfg.architecture == "topk"
    with pytest.raises(UnknownNameError, match="Did you mean 'topk_l20', 'topk_l10'"):
        embedded.resolve("topk", suite=tmp_path)
    with pytest.raises(UsageError, match="no regular expression"):
        embedded.resolve("topk(", suite=tmp_path)
    with pytest.raises(SAELoadError, match="has no embedded SAEs"):
        embedded.resolve(".*", suite=tmp_path / "empty")


# ---- python:<module>:<callable>

MODULE = """
from sae_bench.testing import tiny_sae

def one():
    return tiny_sae("relu")

def with_context(context):
    assert context.lm is None
    return {"a": tiny_sae("relu"), "b": tiny_sae("topk")}

def listed():
    return [("x", tiny_sae("gated"))]

def twice():
    return [("x", tiny_sae("relu")), ("x", tiny_sae("relu"))]

def unnamed():
    return [tiny_sae("relu")]

def nothing():
    return {}

def no_sae():
    return 3

not_callable = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_saes_for_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "python:my_saes_for_a_test"


def test_python_callables_give_one_or_more_saes(module: str, context: LoadContext) -> None:
    (one,) = resolve_spec(f"{module}:one")
    assert (one.name, one.hook_name, one.model_name) == ("one_custom_sae", HOOK, "tiny-gpt2")
    sae = one.load(dataclasses.replace(context, dtype=torch.bfloat16))
    assert sae.W_dec.dtype == torch.bfloat16
    assert [h.release for h in resolve_spec(f"{module}:with_context")] == ["a", "b"]
    assert [h.release for h in resolve_spec(f"{module}:listed")] == ["x"]


@pytest.mark.parametrize(
    ("rest", "error", "message"),
    [
        (":twice", SAELoadError, "more than once"),
        (":unnamed", SAELoadError, r"\(name, SAE\) is needed"),
        (":nothing", SAELoadError, "returned no SAE"),
        (":not_callable", UsageError, "a function is needed"),
        (":on", UnknownNameError, "Did you mean"),
        ("_no_such_module:f", UsageError, "no Python module"),
    ],
)
def test_python_errors(module: str, rest: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_spec(module + rest)


def test_what_is_no_sae_is_refused_when_loaded(module: str, context: LoadContext) -> None:
    (handle,) = resolve_spec(f"{module}:no_sae")
    with pytest.raises(SAELoadError, match="is no SAE: it has no cfg, W_dec, encode, decode"):
        handle.load(context)


@pytest.mark.parametrize(
    ("line", "message"), [("raise SystemExit(200)", r"sys\.exit\(200\)"), ("import no_such_package", "no_such_package")]
)
def test_a_module_that_cannot_be_imported_is_a_failed_sae(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    (tmp_path / "their_broken_saes.py").write_text(line)
    monkeypatch.chdir(tmp_path)
    (handle,) = resolve_spec("python:their_broken_saes:load")
    with pytest.raises((ExitError, ImportError), match=message):
        handle.load(context)


# ---- fitting the model


def _saved(tmp_path: Path, **changes: Any) -> str:
    save_sae(tiny_sae("relu", **changes), tmp_path / "mine.safetensors")
    return f"path:{tmp_path}/mine.safetensors"


def test_an_sae_of_another_width_or_depth_is_refused(tmp_path: Path, lm: LanguageModel, context: LoadContext) -> None:
    (narrow,) = resolve_spec(_saved(tmp_path, d_in=16))
    with pytest.raises(SAEMismatchError, match="16"):
        load_member(narrow, context, lm)
    (deep,) = resolve_spec(_saved(tmp_path, hook_name="blocks.7.hook_resid_post"))
    with pytest.raises(HookError, match="beyond the model's depth"):
        load_member(deep, context, lm)
    (fine,) = resolve_spec(_saved(tmp_path))
    assert load_member(fine, context, lm).key == "mine_custom_sae"
