"""mdl beside the published package: what follows the language model, on the same activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import REPEATS, Comparison, Page, median_run, run_reference
from parity_mdl import ROWS, export_inputs, run_ours
from reference import read

SAE = "topk"
BINS = "8,16,32,64"


def measure(work: Path) -> Page:
    """Seconds from activations to the result of one SAE, one thread on both sides."""
    export_inputs(work)
    theirs = run_reference(
        "run_mdl.py", "--activations", work / "in/mdl.safetensors", "--sae-dir", work / "in/saes", "--saes", SAE,
        "--bins", BINS, "--threads", 1, "--out", work / "mdl_reference.json",
    )  # fmt: skip
    ours = median_run([_ours(work) for _ in range(REPEATS)], _seconds)
    what = f"after the LM pass, {theirs['n_tokens']} tokens, 1536 latents, 8, 16, 32 and 64 bins"
    line = Comparison(what, _seconds(theirs), _seconds(ours), theirs["peak_rss_mb"], ours["peak_rss_mb"])
    return Page("mdl", INTRODUCTION, [line], FACTS)


INTRODUCTION = f"""\
The published settings of the command (all codes of a token) on the activations of {ROWS} packed rows of 128 tokens,
one SAE, float32, one thread. Encoding is counted on both sides. The published package: one run; ours: median of
{REPEATS}."""
FACTS = (
    "The published code goes over the latents one by one and computes the activity of all latents for each of them, so "
    "its time grows with the square of the number of latents; ours counts all histograms at once and spends its time "
    "decoding the binned codes.",
)


def _ours(work: Path) -> dict[str, Any]:
    out = work / "mdl_ours.json"
    run_ours("mdl", "--inputs", work / "in", "--saes", SAE, "--bins", BINS, "--threads", 1, "--out", out)
    return read(out)


def _seconds(result: dict[str, Any]) -> float:
    return result["saes"][SAE]["seconds"]["total"]
