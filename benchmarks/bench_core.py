"""core beside the published package: one SAE and five, float32 and bfloat16, both sides in alternating runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import REPEATS, SAES, Comparison, Page, count, matrix_product_speed, median_run, reference_inputs
from common import run_ours as ours_once
from common import run_reference as reference_once

BATCHES = (2, 4)
"""Batches of 16 rows of 128 tokens for the losses and for everything else."""
PUBLISHED_RATIO = (1, 10)
LAYERS_READ = 11
"""Layers 0..10 of the embedded model, which the hook of its SAEs needs."""
WEIGHTS_PER_LAYER = 576 * (576 + 2 * 192 + 576) + 3 * 576 * 1536


def measure(work: Path) -> Page:
    """Seconds and memory of both sides, and where ours go."""
    five = _five(work)
    one = _sides(work, SAES[:1], BATCHES, "float32")
    ratio = _sides(work, SAES[:1], PUBLISHED_RATIO, "float32", repeats=1)
    runs = [one, five, ratio]
    if matrix_product_speed(torch.bfloat16, seconds=0.5) > matrix_product_speed(torch.float32, seconds=0.5):
        runs.append(_sides(work, SAES[:1], BATCHES, "bfloat16", repeats=1))
    return Page("core", INTRODUCTION, [_line(*run) for run in runs], _facts(five[2]))


INTRODUCTION = f"""\
a + b batches of 16 rows of 128 tokens for the losses and for all other metrics. The published package evaluates one
SAE after the other. The first row: both sides in alternating runs, medians of {REPEATS}. Five SAEs: one run of the
published package between two of ours, of which the slower counts. The other rows: one run of each side; bfloat16 only
where the hardware multiplies it faster than float32."""

Run = tuple[str, dict[str, Any], dict[str, Any]]


def _five(work: Path) -> Run:
    before = _ours(work, SAES, BATCHES, "float32")
    theirs = _theirs(work, SAES, BATCHES, "float32")
    ours = max(before, _ours(work, SAES, BATCHES, "float32"), key=_total)
    return f"{count(SAES)}, {BATCHES[0]} + {BATCHES[1]} batches, float32", theirs, ours


def _sides(work: Path, saes: Sequence[str], batches: tuple[int, int], dtype: str, *, repeats: int = REPEATS) -> Run:
    """Both sides in turn, the median of each."""
    pairs = [(_theirs(work, saes, batches, dtype), _ours(work, saes, batches, dtype)) for _ in range(repeats)]
    theirs, ours = zip(*pairs, strict=True)
    what = f"{count(saes)}, {batches[0]} + {batches[1]} batches, {dtype}"
    return what, median_run(theirs, _published_total), median_run(ours, _total)


def reference_file(work: Path, saes: Sequence[str], batches: tuple[int, int], dtype: str) -> Path:
    """What the published package's last run with these settings wrote."""
    return work / f"core_reference_{len(saes)}_{batches[0]}_{batches[1]}_{dtype}.json"


def _theirs(work: Path, saes: Sequence[str], batches: tuple[int, int], dtype: str) -> dict[str, Any]:
    return reference_once(
        "run_core.py", *reference_inputs(work), "--saes", ",".join(saes), "--tokens", work / "in/tokens.safetensors",
        "--out", reference_file(work, saes, batches, dtype), *_sizes(batches, dtype),
    )  # fmt: skip


def _ours(work: Path, saes: Sequence[str], batches: tuple[int, int], dtype: str) -> dict[str, Any]:
    return ours_once("core", work, saes, work / "core_ours.json", *_sizes(batches, dtype))


def _sizes(batches: tuple[int, int], dtype: str) -> tuple[object, ...]:
    return ("--reconstruction-batches", batches[0], "--sparsity-batches", batches[1], "--exclude-special-tokens",
            "--dtype", dtype)  # fmt: skip


def _published_total(run: dict[str, Any]) -> float:
    return sum(sae["seconds"]["total"] for sae in run["saes"].values())


def _total(run: dict[str, Any]) -> float:
    return run["seconds"]["total"]


def _line(what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Comparison:
    return Comparison(what, _published_total(theirs), _total(ours), theirs["peak_rss_mb"], ours["peak_rss_mb"])


def _facts(ours: dict[str, Any]) -> list[str]:
    seconds, possible = ours["seconds"], matrix_product_speed(torch.float32)
    achieved = 2 * WEIGHTS_PER_LAYER * LAYERS_READ * max(BATCHES) * 2048 / seconds["lm_pass"] / 1e9
    share = {name: seconds[name] / seconds["total"] for name in ("lm_pass", "sae_encode")}
    return [
        f"{count(SAES)}: {share['lm_pass']:.0%} of the time is the pass of the model to the hook, "
        f"{share['sae_encode']:.0%} encoding, the rest the branches after the hook and their logits.",
        f"That pass runs at {achieved:.0f} GFLOP/s, {achieved / possible:.0%} of this machine's matrix product "
        f"({possible:.0f} GFLOP/s for 2048 x 576 x 1536 in float32; bfloat16: "
        f"{matrix_product_speed(torch.bfloat16):.0f}).",
        f"Threads: {torch.get_num_threads()}; medians over {REPEATS} runs; the SAEs have 1536 latents and sit at layer "
        f"10 of 30.",
    ]
