"""How many texts the model reads at once: what an eval asks for is done, and what was done is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract_worlds import WORLDS

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.activations.requests import PooledTexts
from sae_bench.evals.ravel.training import Schedule
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import batch_field
from sae_bench.run.objects import object_handle
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing.eval_trial import EvalTrial
from sae_bench.testing.tiny_models import tiny_sae

PAIRS = "ravel"
"""The eval whose batch size is not of texts: it is the pairs of a training step."""
BATCHED = [name for name in WORLDS if batch_field(get_eval(name).config)]
"""Evals that declare a batch size."""


@pytest.fixture
def read(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every batch that the model reads to capture activations, those of one token (a probe of widths) aside."""
    sizes: list[int] = []
    capture = LanguageModel.capture

    def counted(self: LanguageModel, ids: Any, *args: Any, **kwargs: Any) -> Any:
        if ids.shape[-1] > 1:
            sizes.append(len(ids))
        return capture(self, ids, *args, **kwargs)

    monkeypatch.setattr(LanguageModel, "capture", counted)
    return sizes


@pytest.mark.parametrize("asked", [1, 3, 40, None])
def test_the_batch_size_of_an_eval_is_used_and_written(make_plan: Callable[..., RunPlan], read: list[int], asked):
    settings = {"sparse_probing": {"llm_batch_size": asked}}
    plan = make_plan([object_handle("a", tiny_sae("topk"))], evals=["sparse_probing"], settings=settings,
                     pass_options=PassOptions())  # fmt: skip
    (path,) = run(plan).written
    used = json.loads(path.read_text())["eval_config"]["llm_batch_size"]
    assert used == (256 if asked is None else asked)
    assert max(read) <= used
    if asked in (1, 3):
        assert max(read) == asked


def test_a_text_of_two_evals_is_read_in_the_smaller_batches(lm: LanguageModel, read: list[int]):
    texts = [[5 + i, 6, 7] for i in range(8)]
    requests = [PooledTexts(texts, max_texts=4), PooledTexts(texts[:4], max_texts=2), PooledTexts(texts[6:])]
    from sae_bench.custom_saes.loading import load_member
    from sae_bench.run.planning import load_context

    member = load_member(object_handle("a", tiny_sae("topk")), load_context(lm), lm)
    read.clear()
    report = run_pass(lm, requests, [member], PassOptions(max_tokens=None))
    assert sorted(read) == [2, 2, 4]
    assert list(report.texts_at_once) == [4, 2, 4]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pairs of a step of every training that RAVEL plans."""
    sizes: list[int] = []

    def schedule(pairs_per_step: int, *more: Any) -> Schedule:
        sizes.append(pairs_per_step)
        return Schedule(pairs_per_step, *more)

    monkeypatch.setattr("sae_bench.evals.ravel.evaluate.Schedule", schedule)
    return sizes


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.slow
def test_every_eval_with_a_batch_size_uses_and_writes_it(name: str, tmp_path: Path, read: list[int], steps: list[int]):
    world, field = WORLDS[name](tmp_path), batch_field(get_eval(name).config)
    hook = f"blocks.{world.lm.n_layers // 2}.hook_resid_post"
    sae = tiny_sae("topk", d_in=world.lm.d_model, d_sae=2 * world.lm.d_model, hook_name=hook)
    settings = {**world.settings, str(field): 3}
    read.clear()
    trial = EvalTrial(world.spec, world.lm, {"topk": sae}, settings, hook, (42,))
    result = trial.run(["topk"], "out").results["topk"]
    assert result["eval_config"][field] == 3
    assert max(steps if name == PAIRS else read) == 3
