"""unlearning beside the published package, with the published grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import REPEATS, SAES, Comparison, Page, count, median_run, read
from parity_unlearning import BATCH, run_ours, run_published

CHOSEN = SAES[:3]
QUESTIONS = 3
"""Questions of each of the two sets."""
ROWS = (32, 256)
"""Packed rows of each corpus, and their tokens."""


def measure(work: Path) -> Page:
    """Seconds and memory of both sides, for one SAE and for several."""
    run_ours("export", "--inputs", work / "in", "--questions", QUESTIONS, "--rows", *ROWS)
    one = _ours(work, CHOSEN[:1])
    out = work / "unlearning_reference.json"
    run_published(work / "in", CHOSEN, out)
    theirs = read(out)
    seconds = [theirs["saes"][name]["seconds"]["total"] for name in CHOSEN]
    several = _ours(work, CHOSEN)
    lines = [
        Comparison(
            f"{count(CHOSEN[:1])}, float32",
            seconds[0],
            one["seconds"]["total"],
            theirs["saes"][CHOSEN[0]]["peak_rss_mb"],
            one["peak_rss_mb"],
        ),
        Comparison(
            f"{count(CHOSEN)}, float32",
            sum(seconds),
            several["seconds"]["total"],
            theirs["peak_rss_mb"],
            several["peak_rss_mb"],
        ),
    ]
    introduction = (
        f"Letters format, {QUESTIONS} questions of geography to forget and {QUESTIONS} of everyday language to keep, "
        f"all taken for known; sparsities on {ROWS[0]} rows of {ROWS[1]} tokens of each corpus; the published grid of "
        f"2 retain thresholds, 2 numbers of latents and 4 multipliers; {BATCH} rows or {2 * BATCH} questions at once. "
        f"The published package: one run, summed over its SAEs. Ours: median of {REPEATS}."
    )
    return Page("unlearning", introduction, lines, _facts(theirs, several))


def _ours(work: Path, saes: tuple[str, ...]) -> dict[str, Any]:
    out = work / "unlearning_ours.json"
    runs = []
    for _ in range(REPEATS):
        run_ours("measure", "--inputs", work / "in", "--saes", ",".join(saes), "--out", out)
        runs.append(read(out))
    return median_run(runs, lambda run: run["seconds"]["total"])


def _facts(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    phases = {
        phase: sum(of["seconds"].get(phase, 0.0) for of in theirs["saes"].values()) for phase in ("sparsity", "grid")
    }
    scoring = sum(of["seconds"]["score"] for of in ours["saes"].values())
    return [
        f"Sparsities: {phases['sparsity']:.1f} s published (once per SAE), {ours['seconds']['pass']:.1f} s ours (one "
        "pass).",
        f"Questions under all settings: {phases['grid']:.1f} s published, {scoring:.1f} s ours. Layers up to the hook "
        "run once, common beginnings of prompts are read once, only the last token meets the unembedding, and a "
        "question on which no clamped latent is active is not run again.",
    ]
