"""meta_structure beside the published package: one meta-SAE, float32 on both sides."""

from __future__ import annotations

from pathlib import Path

from common import Comparison, Page, run_reference
from parity_meta_structure import run_ours
from reference import read

SAE = "topk"
STEPS = 150


def measure(work: Path) -> Page:
    """Seconds and memory of one meta-SAE trained for a tenth of the published steps, one thread."""
    sizes = ("--saes", SAE, "--seeds", 42, "--train-steps", STEPS, "--threads", 1)
    theirs = run_reference(
        "run_meta_structure.py", "--sae-dir", work / "in/saes", "--no-autocast", *sizes,
        "--out", work / "meta_structure_reference.json",
    )  # fmt: skip
    out = work / "meta_structure_ours.json"
    run_ours("--inputs", work / "in", *sizes, "--out", out)
    ours = read(out)
    seconds = theirs["seeds"]["42"][SAE]["train_time_seconds"]
    line = Comparison(
        f"training, {STEPS} steps of 1024 rows, 1536 rows of 576 numbers, 384 meta-latents", seconds,
        ours["saes"][SAE]["seconds"][0], theirs["peak_rss_mb"], ours["peak_rss_mb"],
    )  # fmt: skip
    return Page("meta_structure", INTRODUCTION, [line], FACTS)


INTRODUCTION = f"""\
A tenth of the published steps ({STEPS} of 1500; a step always takes the same time), float32, one thread, one run each.
The published default trains under bfloat16 autocast, which is slower than float32 on a CPU without instructions for
it."""
FACTS = (
    "A step has one dense product here, the encoder's; decoding and all gradients touch only the four entries per row "
    "that are kept, where the published code makes dense products of them.",
)
