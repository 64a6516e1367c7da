"""ravel beside the published package: completions once, then masks and scores of three SAEs."""

from __future__ import annotations

from pathlib import Path

from common import SAES, Comparison, Page, read
from parity_ravel import ASKED, PAIRS, PAIRS_PER_STEP, SEEDS, run_ours, run_published

CHOSEN = SAES[:3]


def measure(work: Path) -> Page:
    """Seconds and memory of both sides on the same prompts, pairs, seeds and settings."""
    inputs = work / "in"
    run_ours("export", "--inputs", inputs)
    run_published(work, CHOSEN, work / "ravel_bench_reference.json")
    run_ours("evaluate", "--inputs", inputs, "--out", work / "ravel_bench_ours.json", "--saes", ",".join(CHOSEN),
             "--no-given-masks")  # fmt: skip
    theirs, ours = read(work / "ravel_bench_reference.json"), read(work / "ravel_bench_ours.json")
    memory = (theirs["peak_rss_mb"], ours["peak_rss_mb"])
    per_sae = [
        sum(of["seconds"]["train_and_score"] for of in theirs["saes"][name]["seeds"].values()) for name in CHOSEN
    ]
    masks = [ours["saes"][name]["seconds"] for name in CHOSEN]
    completions = theirs["seconds"]["completions"], ours["completions_s"]
    total = completions[0] + sum(per_sae), completions[1] + ours["prepare_s"] + sum(masks)
    lines = [
        Comparison(f"{ASKED} completions", *completions),
        Comparison(f"{len(CHOSEN)} SAEs: masks and scores", sum(per_sae), ours["prepare_s"] + sum(masks)),
        Comparison(f"{len(CHOSEN)} SAEs, all", *total, *memory),
    ]
    introduction = (
        f"Cities, one attribute against another, {2 * PAIRS} pairs, {len(SEEDS)} seeds, steps of {PAIRS_PER_STEP} "
        "pairs, float32; one run of each side, model loading left out. Both read the same prompts and pairs."
    )
    facts = [
        "Ours trains the masks of all SAEs and seeds in one pass, through the layers after the hook, from the entity."
    ]
    return Page("ravel", introduction, lines, facts)
