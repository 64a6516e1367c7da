"""What evals on texts do alike."""

from __future__ import annotations

import numpy as np
import torch

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.evals.families import texts
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask, sharing_texts


def test_an_sae_is_silent_where_no_latent_is_active(monkeypatch):
    monkeypatch.setattr(texts, "TEXTS_AT_ONCE", 2)
    codes_TF = torch.zeros(5, 3)
    assert texts.is_silent(CodeMatrix(codes_TF))
    codes_TF[4, 1] = -0.5
    assert not texts.is_silent(CodeMatrix(codes_TF))


def test_tasks_that_share_texts_are_one_also_by_way_of_a_third():
    def task(name: str, start: int) -> BinaryTask:
        return BinaryTask(name, ("a", "b"), tuple(f"text {i}" for i in range(start, start + 10)), np.arange(10) % 2)

    assert sharing_texts([task("a", 0), task("b", 50), task("c", 16), task("d", 8), task("e", 25)]) == [0, 1, 0, 0, 4]
