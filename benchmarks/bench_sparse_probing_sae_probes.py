"""Sparse probing on the tasks of sae-probes beside the published package."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from common import REPEATS, Comparison, Page, median_run, read, reference_inputs, run_reference
from parity_sparse_probing_sae_probes import KS, TASKS, export, run_ours

SAE = "topk"
SEED = 42
CHOSEN = TASKS[3:11]
MAX_TEXTS = 450


def measure(work: Path) -> Page:
    """One SAE with one seed on some tasks: all of it, the probes on the residual stream, those on latents."""
    data = work / "sae_probes" / "data"
    export(data, MAX_TEXTS)
    theirs = run_reference(
        "run_sparse_probing_sae_probes.py", *reference_inputs(work), "--saes", SAE, "--data", data,
        "--tasks", ",".join(CHOSEN), "--seeds", SEED, "--k", ",".join(map(str, KS)),
        "--out", work / "sparse_probing_sae_probes_reference.json",
    )  # fmt: skip
    runs = [_ours(work) for _ in range(REPEATS)]
    whole = median_run(runs, lambda run: run["seconds"]["total"])
    published = theirs["seeds"][str(SEED)][SAE]["seconds"]
    lines = [
        Comparison(
            f"sae-probes, {len(CHOSEN)} tasks, 1 SAE, float32",
            published["total"],
            whole["seconds"]["total"],
            theirs["peak_rss_mb"],
            whole["peak_rss_mb"],
        ),
        Comparison(
            "probes on the residual stream (once per hook)",
            published["lm_probes"],
            median(run["seconds"]["lm_probes"] for run in runs),
        ),
        Comparison(
            "probes on latents (every SAE and seed)",
            published["sae_probes"],
            median(run["saes"][SAE]["seconds"]["score"] for run in runs),
        ),
    ]
    introduction = (
        f"{len(CHOSEN)} tasks cut to {MAX_TEXTS} texts, setting normal, L1 probes at k = {', '.join(map(str, KS))} and "
        f"the L2 probe on the residual stream; one SAE, one seed. The published package: one run. Ours: median of "
        f"{REPEATS}; its probes go to the optimum, the published ones stop after at most 1000 iterations."
    )
    facts = [
        f"LM pass: {published['lm_pass']:.1f} s published, {whole['seconds']['lm_pass']:.1f} s ours "
        f"({whole['n_tokens']:,} tokens; texts of one length together, without padding to the longest).",
        "Reading files, tokenising and drawing splits: "
        f"{whole['seconds']['prepare']:.1f} s ours, once for all SAEs and seeds.",
    ]
    return Page("sparse_probing_sae_probes", introduction, lines, facts)


def _ours(work: Path) -> dict[str, Any]:
    out = work / "sparse_probing_sae_probes_ours.json"
    run_ours(
        "--inputs", work / "in", "--out", out, "--seeds", SEED, "--saes", SAE, "--tasks", ",".join(CHOSEN),
        "--normal-only", "--max-texts", MAX_TEXTS,
    )  # fmt: skip
    return read(out)
