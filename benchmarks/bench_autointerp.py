"""Gathering the examples of autointerp beside the published package, which runs the model twice per SAE."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from common import REPEATS, ROOT, SAES, Comparison, Page, count, median_run, read, reference_inputs
from common import run_reference as reference_once

CHOSEN = SAES[:3]
ROWS = 160
"""Rows of 128 tokens; the published code refuses fewer tokens than asked for, so all that there are are asked for."""


def measure(work: Path) -> Page:
    """Seconds and memory of both sides for three SAEs, up to the examples: no judge is asked."""
    out = work / "autointerp"
    before = _ours(work, Path(f"{out}_ours.json"))
    theirs = reference_once(
        "run_autointerp.py", *reference_inputs(work), "--saes", ",".join(CHOSEN), "--tokens",
        work / "in/tokens.safetensors", "--rows", ROWS, "--out", f"{out}_reference.json",
    )  # fmt: skip
    runs = [before, *(_ours(work, Path(f"{out}_ours.json")) for _ in range(REPEATS - 1))]
    ours = median_run(runs, lambda run: run["seconds"]["total"])
    seconds = sum(sum(sae["seconds"].values()) for sae in theirs["saes"].values())
    line = Comparison(
        f"{count(CHOSEN)}, {ROWS * 128:,} tokens, up to 1000 latents each", seconds, ours["seconds"]["total"],
        theirs["peak_rss_mb"], ours["peak_rss_mb"],
    )  # fmt: skip
    introduction = (
        f"From packed rows to the examples of every chosen latent, float32; the published package: densities, then "
        f"activations, SAE after SAE, one run, summed. Ours: one pass for all, median of {REPEATS}, one run before the "
        "published one and the others after it."
    )
    facts = [
        f"{ours['seconds']['lm_pass'] / ours['seconds']['total']:.0%} of our time is the pass of the model, "
        f"{ours['seconds']['sae_encode'] / ours['seconds']['total']:.0%} encoding.",
        "Latents with examples: "
        + ", ".join(
            f"{name} {theirs['saes'][name]['with_examples']} published, {ours['saes'][name]['with_examples']} ours"
            for name in CHOSEN
        )
        + " (each side draws its own; it takes all live ones where there are fewer than 1000).",
    ]
    return Page("autointerp, gathering of data", introduction, [line], facts)


def _ours(work: Path, out: Path) -> dict[str, Any]:
    script = ROOT / "tests" / "parity" / "parity_autointerp.py"
    flags = ("--inputs", work / "in", "--saes", ",".join(CHOSEN), "--rows", ROWS, "--out", out)
    subprocess.run([sys.executable, str(script), *map(str, flags)], check=True)
    return read(out)
