"""What evals on texts do alike."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.activations.requests import PooledValues
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families import texts
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask, sharing_texts
from sae_bench.results.model import BaseMetricCategories
from sae_bench.testing.tiny_models import tiny_model


class _Placed(texts.TextsJob):
    def prepare(self, activations_TD: torch.Tensor) -> None: ...

    def score_codes(self, member: Member, codes: CodeMatrix, prepared: None) -> Scores:
        return Scores(metrics=BaseMetricCategories())


def test_test_texts_that_equal_a_training_text_once_cut_are_counted_and_said():
    config = SimpleNamespace(context_length=4)
    job = _Placed(EvalContext(tiny_model("gpt2"), ("hook",), (0,)), config)
    train = {"a": ["the same beginning of this text, one end"], "b": ["another"]}
    test = {"a": ["the same beginning of this text, other end", "unseen"], "b": ["nothing like it", "nor this"]}
    job.place_labelled(LabelledTexts("toy", ("a", "b"), train, test, {"source": "here"}))
    assert job.datasets == {"toy": {"source": "here", "test_texts_seen_in_training": "1 of 4"}}
    member = Member("a", "b", None, "hook")
    served = [PooledValues({"hook": torch.zeros(6, 2)}, {member.key: CodeMatrix(torch.ones(6, 2))})]
    (warning,) = job.score(member, served).warnings
    assert warning.startswith("1 of 4 test texts of toy (25.0%) equal a training text once they are cut to 4 tokens")


def test_tasks_that_share_texts_are_one_also_by_way_of_a_third():
    def task(name: str, start: int) -> BinaryTask:
        return BinaryTask(name, ("a", "b"), tuple(f"text {i}" for i in range(start, start + 10)), np.arange(10) % 2)

    assert sharing_texts([task("a", 0), task("b", 50), task("c", 16), task("d", 8), task("e", 25)]) == [0, 1, 0, 0, 4]
