"""Fixtures of runs on a tiny model, a tiny corpus and a tiny labelled set: everything that a run needs, in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import SETTINGS, WORDS, sentences

from sae_bench.activations.one_pass import PassOptions
from sae_bench.custom_saes.loading import GroupLimits
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.datasets import LabelledSpec, registry
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.published import eval_command
from sae_bench.published.entry_points import EntryOptions, Settings
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, RunSummary
from sae_bench.testing.tiny_models import tiny_model


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    yield
    registry.forget_datasets()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    return tiny_model("gpt2")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus.jsonl, words/{train,test}.jsonl, words.yaml"""
    folder = tmp_path_factory.mktemp("data")
    texts = [text for label in WORDS for text in sentences(label, "corpus", 40)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (folder / "words").mkdir()
    for split, n in (("train", 12), ("test", 6)):
        rows = [{"text": t, "label": label} for label in WORDS for t in sentences(label, split, n)]
        (folder / "words" / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def words(data: Path) -> LabelledSpec:
    spec = LabelledSpec(
        name="tiny/words", description="Words.", path=data / "words", classes={name: name for name in WORDS}
    )
    registry.register(spec)
    return spec


@pytest.fixture
def make_plan(lm: LanguageModel, data: Path, words: LabelledSpec, tmp_path: Path) -> Callable[..., RunPlan]:
    """A plan of both evals; `settings` change the tiny ones."""

    def plan(
        handles: Sequence[SAEHandle],
        *,
        evals: Sequence[str] = ("core", "sparse_probing"),
        settings: dict[str, dict[str, Any]] | None = None,
        max_saes: int | None = None,
        out: Path | None = None,
        **changes: Any,
    ) -> RunPlan:
        requests = []
        for name in evals:
            values = {
                "model_name": lm.name,
                "llm_dtype": "float32",
                **SETTINGS.get(name, {}),
                **(settings or {}).get(name, {}),
            }
            if name == "core":
                values.setdefault("dataset", str(data / "corpus.jsonl"))
            requests.append(EvalRequest(get_eval(name), make_config(get_eval(name), values)))
        return RunPlan(
            lm=lm,
            evals=requests,
            handles=handles,
            output_folder=out or tmp_path / "results",
            load_context=changes.pop("load_context", load_context(lm)),
            limits=GroupLimits(max_saes=max_saes),
            pass_options=changes.pop("pass_options", PassOptions(max_tokens=256)),
            **changes,
        )

    return plan


def chosen_by_command(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Filled by the command of an eval, in place of a run: which eval, with which settings, into which folder."""
    chosen: dict[str, Any] = {}

    def evaluate_selected(spec: EvalSpec, handles: object, settings: Settings, options: EntryOptions) -> RunSummary:
        values = {"model_name": settings.model_name, "random_seed": settings.random_seed, **settings.values}
        chosen.update(eval=spec.name, folder=options.output_path, settings=values)
        return RunSummary()

    monkeypatch.setattr(eval_command, "select_saes", lambda *_args, **_options: [])
    monkeypatch.setattr(eval_command, "evaluate_selected", evaluate_selected)
    return chosen
