"""scr and tpp beside the published package: the whole of one SAE, and what every further SAE costs."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from common import REPEATS, Comparison, Page, median_run, read, reference_inputs, run_reference
from parity_scr_and_tpp import N_VALUES, SIZES, run_ours

SAE = "topk"
SEED = 42


def measure(work: Path) -> Page:
    """Both evals on one SAE with one seed."""
    run_ours("export", "--inputs", work / "in")
    lines: list[Comparison] = []
    facts: list[str] = []
    for name in ("scr", "tpp"):
        theirs = _published(work, name)
        ours = [_ours(work, name) for _ in range(REPEATS)]
        whole = median_run(ours, lambda run: run["seconds"]["total"])
        after = median(run["saes"][SAE]["seconds"]["after"] + run["seconds"]["sae_encode"] for run in ours)
        published = theirs["seeds"][str(SEED)][SAE]["seconds"]
        lines += [
            Comparison(
                f"{name}, 1 SAE, float32",
                published["total"],
                whole["seconds"]["total"],
                theirs["peak_rss_mb"],
                whole["peak_rss_mb"],
            ),
            Comparison(f"{name}, after the LM pass and the probes: every further SAE", published["after"], after),
        ]
        facts.append(_where(name, published, whole))
    sizes = "; ".join(
        f"{name}: {SIZES[name][0]} training and {SIZES[name][1]} test texts per probe, context {SIZES[name][2]}"
        for name in SIZES
    )
    introduction = (
        f"One SAE, one seed, N = {', '.join(map(str, N_VALUES))}. scr reads tweets (two pairs of emotions x addresses "
        f"a user), tpp news topics and code languages; {sizes}. The published package: one run, its masks repaired. "
        f"Ours: median of {REPEATS}. What follows the LM pass counts encoding on both sides."
    )
    return Page("scr and tpp", introduction, lines, facts)


def _published(work: Path, name: str) -> dict[str, Any]:
    train, test, length = SIZES[name]
    return run_reference(
        "run_scr_and_tpp.py", "--eval", name, *reference_inputs(work), "--saes", SAE, "--texts",
        work / "in" / f"{name}_texts.json", "--seeds", SEED, "--train-size", train, "--test-size", test,
        "--context-length", length, "--n", ",".join(map(str, N_VALUES)), "--out", work / f"{name}_reference.json",
    )  # fmt: skip


def _ours(work: Path, name: str) -> dict[str, Any]:
    out = work / f"{name}_ours.json"
    run_ours(name, "--inputs", work / "in", "--out", out, "--saes", SAE, "--seeds", SEED)
    return read(out)


def _where(name: str, published: dict[str, float], ours: dict[str, Any]) -> str:
    seconds, of_sae = ours["seconds"], ours["saes"][SAE]["seconds"]
    return (
        f"{name}, published | ours: LM pass {published['lm_pass']:.1f} | {seconds['lm_pass']:.1f} s, probes "
        f"{published['lm_probes']:.1f} | {seconds['lm_probes']:.1f} s, effects and ablations "
        f"{published['after']:.1f} | {of_sae['after']:.2f} s and encoding {seconds['sae_encode']:.1f} s (the "
        f"published package encodes within the former). Here {ours['n_tokens']:,} tokens run, each text once; the "
        "published package runs a text again for every pair and probe that reads it, and computes padding."
    )
