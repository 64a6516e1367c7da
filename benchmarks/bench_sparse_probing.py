"""sparse_probing beside the published package with its activation cache on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import REPEATS, SAES, TEST_SIZE, TRAIN_SIZE, Comparison, Page, count, median_run, read, reference_inputs
from common import run_ours as ours_once
from common import run_reference as reference_once

CONTEXT = 128


def measure(work: Path) -> Page:
    """Seconds and memory of both sides, and how full the texts are."""
    out = work / "sparse_probing"
    before = ours_once("sparse_probing", work, SAES, Path(f"{out}_ours.json"))
    theirs = reference_once(
        "run_sparse_probing.py", *reference_inputs(work), "--saes", ",".join(SAES), "--texts", work / "in/texts.json",
        "--seeds", "42", "--out", f"{out}_reference.json",
    )  # fmt: skip
    runs = [before, *(ours_once("sparse_probing", work, SAES, Path(f"{out}_ours.json")) for _ in range(REPEATS - 1))]
    ours = median_run(runs, lambda run: run["seconds"]["total"])
    seconds = sum(sae["seconds"]["total"] for sae in theirs["seeds"]["42"].values())
    line = Comparison(
        f"{count(SAES)}, float32", seconds, ours["seconds"]["total"], theirs["peak_rss_mb"], ours["peak_rss_mb"]
    )
    introduction = (
        f"Three data sets (news topics, emotions of tweets, code; {TRAIN_SIZE} training and {TEST_SIZE} test texts per "
        f"task, context {CONTEXT}), k = 1, 2, 5 and the probes on all features; the published package with its "
        f"activation cache on: one run, summed over its SAEs. Ours: median of {REPEATS}, one run "
        "before it and the others after it."
    )
    return Page("sparse_probing", introduction, [line], _facts(work, ours))


def _facts(work: Path, ours: dict[str, Any]) -> list[str]:
    texts = read(work / "in/texts.json").values()
    n_texts = sum(len(ids) for t in texts for split in ("train", "test") for ids in t[split].values())
    return [
        f"{ours['seconds']['lm_pass'] / ours['seconds']['total']:.0%} of the time is the pass of the model.",
        f"The texts fill {ours['n_tokens'] / (n_texts * CONTEXT):.0%} of the context; the published package computes "
        "the padding too.",
    ]
