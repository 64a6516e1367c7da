"""absorption beside the published package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from common import ROOT, Comparison, Page, median_run, read, run_reference

sys.path.insert(0, str(ROOT / "tests" / "parity"))
import parity_absorption as parity

SAES = ("topk",)
WORDS = 780
TOGETHER = 32
REPEATS = 3


def measure(work: Path) -> Page:
    """Seconds of the model's pass and of what follows it, and peak memory of both sides."""
    inputs, words = work / "in", work / "absorption_words.json"
    parity.run_ours("export", "--inputs", inputs, "--words-out", words, "--n-words", WORDS, "--seeds", "42")
    runs = [_ours(work, words, 1)]
    theirs = run_reference(
        "run_absorption.py", *parity.published_inputs(inputs, words), "--saes", ",".join(SAES), "--seeds", "42",
        "--out", work / "absorption_reference.json",
    )  # fmt: skip
    runs += [_ours(work, words, 1) for _ in range(REPEATS - 1)]
    ours = median_run(runs, _after)
    shared = _ours(work, words, TOGETHER)
    published = theirs["seeds"]["42"][SAES[0]]["seconds"]
    memory = (theirs["peak_rss_mb"], ours["peak_rss_mb"])
    lines = [
        Comparison("after the pass, each SAE", published["after"], _after(ours), *memory),
        Comparison("the model's pass", published["lm_pass"], ours["seconds"]["lm_pass"]),
        Comparison(
            f"the model's pass, {TOGETHER} words to a draw of examples", published["lm_pass"],
            shared["seconds"]["lm_pass"],
        ),
        Comparison("letter probes", published["lm_probes"], ours["seconds"]["lm_probes"]),
    ]  # fmt: skip
    introduction = (
        f"{WORDS} words, {len(SAES)} SAE, one seed, float32, the same words, prompts and splits on both sides. The "
        "published package reads its prompts once for the letter probes and again, where a probe gets a word right, "
        f"after the pass, for each SAE; it ran once, ours {REPEATS} times (median), one run before it and the others "
        "after it."
    )
    return Page("absorption", introduction, lines)


def _ours(work: Path, words: Path, together: int) -> dict[str, Any]:
    out = work / f"absorption_ours_{together}.json"
    parity.run_ours(
        "run", "--inputs", work / "in", "--words", words, "--saes", ",".join(SAES), "--seeds", "42",
        "--together", together, "--out", out,
    )  # fmt: skip
    return read(out)


def _after(run: dict[str, Any]) -> float:
    return run["saes"][SAES[0]]["seconds"]["after"]
