"""Two small labelled sets: four quadrants of (topic, time), and three topics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scr_tpp_planted import SETTINGS, dataset_and_activations, pair_and_activations
from tiny_runs import WORDS, sentences

from sae_bench.datasets import LabelledSpec, registry
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import TokenSource


@pytest.fixture
def times(tmp_path: Path) -> LabelledSpec:
    """Per split and topic, texts that begin with `now` and with `then`."""
    folder = tmp_path / "times"
    folder.mkdir()
    for split, n in (("train", 13), ("test", 7)):
        rows = [
            {"text": f"{time} {text}", "topic": topic, "time": time}
            for topic in WORDS
            for time in ("now", "then")
            for text in sentences(topic, split, n)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = LabelledSpec(
        name="tiny/times",
        description="Topics at two times.",
        path=folder,
        label_column="topic",
        classes={name: name for name in WORDS},
        balance_column="time",
        balance_values={"now": "now", "then": "then"},
    )
    registry.register(spec)
    return spec


@pytest.fixture(scope="module")
def prepared_scr():
    pair, x_TD = pair_and_activations()
    return x_TD, scr.prepare_scr([pair], x_TD, seeds=[0, 1], settings=SETTINGS)


@pytest.fixture(scope="module")
def prepared_tpp():
    dataset, x_TD = dataset_and_activations()
    return x_TD, tpp.prepare_tpp([dataset], x_TD, seeds=[0, 1], settings=SETTINGS)


@pytest.fixture(scope="module")
def source(lm):
    return TokenSource(lm, "blocks.1.hook_resid_post", [])
