"""Seconds and memory beside the published package, in one run; writes docs/benchmarks.md.

make bench
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "parity"))
from reference import read, run_ours  # noqa: E402
from reference import run_reference as start_reference  # noqa: E402

SAES = ("topk", "batch_topk", "jumprelu", "gated", "matryoshka_batch_topk")
REPEATS = int(os.environ.get("SAE_BENCH_REPEATS", "3"))
BATCHES = (2, 4)
"""Reconstruction and sparsity batches of the core runs."""
TRAIN_SIZE, TEST_SIZE = 160, 80
"""Texts per binary task of the probing runs."""
LAYERS_READ = 11
"""Layers 0..10 of the embedded model, which the hook of its SAEs needs."""


@dataclass(frozen=True)
class Comparison:
    """One line of the table: seconds and peak memory of both sides (model loading left out of the seconds)."""

    what: str
    reference_s: float
    ours_s: float
    reference_mb: float
    ours_mb: float

    def markdown(self) -> str:
        return (
            f"| {self.what} | {self.reference_s:.1f} | {self.ours_s:.1f} | **{self.reference_s / self.ours_s:.1f}x** | "
            f"{self.reference_mb:.0f} | {self.ours_mb:.0f} |"
        )


def run_reference(script: str, *arguments: object) -> None:
    """Run a script of the published package's side, unless its result is there from a run that was broken off."""
    if not Path(str(arguments[arguments.index("--out") + 1])).exists():
        start_reference(script, *arguments)


def core(work: Path, saes: Sequence[str], batches: tuple[int, int], dtype: str) -> tuple[Comparison, dict[str, Any]]:
    """The core eval; the published package evaluates SAE after SAE, so its seconds are the sum over them."""
    sizes = ("--reconstruction-batches", batches[0], "--sparsity-batches", batches[1], "--exclude-special-tokens",
             "--dtype", dtype)  # fmt: skip
    out = work / f"core_{len(saes)}_{batches[0]}_{batches[1]}_{dtype}"
    run_reference(
        "run_core.py", *_reference_inputs(work), "--saes", ",".join(saes), "--tokens", work / "in/tokens.safetensors",
        "--out", f"{out}_reference.json", *sizes,
    )  # fmt: skip
    theirs = read(Path(f"{out}_reference.json"))
    ours = _median_of_ours("core", work, saes, out, *sizes)
    per_sae = [sae["seconds"]["total"] for sae in theirs["saes"].values()]
    what = f"core, {_count(saes)}, {batches[0]} + {batches[1]} batches, {dtype}"
    return _compare(what, sum(per_sae), theirs, ours), ours


def core_of_one(work: Path, five: Path, batches: tuple[int, int]) -> Comparison:
    """One SAE: the median of what the published package took for each of the five, and ours for the first."""
    theirs = read(five)
    seconds = statistics.median(sae["seconds"]["total"] for sae in theirs["saes"].values())
    sizes = ("--reconstruction-batches", batches[0], "--sparsity-batches", batches[1], "--exclude-special-tokens")
    ours = _median_of_ours("core", work, SAES[:1], work / "core_one", *sizes)
    return _compare(f"core, 1 SAE, {batches[0]} + {batches[1]} batches, float32", seconds, theirs, ours)


def sparse_probing(work: Path, saes: Sequence[str], dtype: str) -> tuple[Comparison, dict[str, Any]]:
    """Sparse probing; the published package keeps its activations for the SAEs that follow."""
    out = work / f"sparse_probing_{len(saes)}_{dtype}"
    run_reference(
        "run_sparse_probing.py", *_reference_inputs(work), "--saes", ",".join(saes), "--texts", work / "in/texts.json",
        "--seeds", "42", "--dtype", dtype, "--out", f"{out}_reference.json",
    )  # fmt: skip
    theirs = read(Path(f"{out}_reference.json"))
    ours = _median_of_ours("sparse_probing", work, saes, out, "--dtype", dtype)
    seconds = sum(sae["seconds"]["total"] for sae in theirs["seeds"]["42"].values())
    return _compare(f"sparse_probing, {_count(saes)}, {dtype}", seconds, theirs, ours), ours


def matrix_product_speed(dtype: torch.dtype, *, seconds: float = 2.0) -> float:
    """GFLOP/s of the product that a layer of the embedded model spends most on, (2048, 576) x (576, 1536)."""
    a, b = torch.randn(2048, 576, dtype=dtype), torch.randn(576, 1536, dtype=dtype)
    return 2 * 2048 * 576 * 1536 / _median_seconds(lambda: a @ b, seconds) / 1e9


def model_pass_speed(ours: dict[str, Any], batches: int) -> float:
    """GFLOP/s of the pass to the hook: 2 FLOP per weight and token in the layers that ran."""
    weights_per_layer = 576 * (576 + 2 * 192 + 576) + 3 * 576 * 1536
    return 2 * weights_per_layer * LAYERS_READ * batches * 2048 / ours["seconds"]["lm_pass"] / 1e9


def _median_of_ours(command: str, work: Path, saes: Sequence[str], out: Path, *arguments: object) -> dict[str, Any]:
    runs = []
    for _ in range(REPEATS):
        path = Path(f"{out}_ours.json")
        run_ours(command, "--inputs", work / "in", "--saes", ",".join(saes), "--out", path, *arguments)
        runs.append(read(path))
    return sorted(runs, key=lambda run: run["seconds"]["total"])[len(runs) // 2]


def _compare(what: str, seconds: float, theirs: dict[str, Any], ours: dict[str, Any]) -> Comparison:
    return Comparison(what, seconds, ours["seconds"]["total"], theirs["peak_rss_mb"], ours["peak_rss_mb"])


def _reference_inputs(work: Path) -> tuple[object, ...]:
    return ("--model", work / "in/model", "--meta", work / "in/meta.json", "--sae-dir", work / "in/saes")


def _count(saes: Sequence[str]) -> str:
    return f"{len(saes)} SAE" + ("s" if len(saes) > 1 else "")


def _median_seconds(call: Callable[[], object], budget: float) -> float:
    times: list[float] = []
    call()
    while sum(times) < budget:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times)


def report(lines: Sequence[Comparison], speed: Sequence[str]) -> str:
    """The page docs/benchmarks.md."""
    table = "\n".join(line.markdown() for line in lines)
    facts = "\n".join(f"- {line}" for line in speed)
    return f"""# Benchmarks

Written by `make bench`: `sae-bench==0.6.0` and this package in one run on one machine, the same model
(SmolLM2-135M-Instruct), SAEs (1536 latents, layer 10 of 30), rows, texts, dtype and number of threads
({torch.get_num_threads()}). Loading the model is not counted. Ours: median of {REPEATS} runs; the published package:
one run, summed over its SAEs (it evaluates one after the other).

| | published s | ours s | ratio | published peak MB | ours peak MB |
| --- | --- | --- | --- | --- | --- |
{table}

core: a + b batches of 16 rows of 128 tokens for the loss and for all other metrics; sparse_probing: three data sets
(news topics, emotions of tweets, code; {TRAIN_SIZE} training and {TEST_SIZE} test texts per task, context 128), k = 1,
2, 5 and the probes on all features; the published package with its activation cache on.

## Where the time goes

{facts}
"""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "bench", help="folder for what both sides write")
    parser.add_argument("--reuse-inputs", action="store_true", help="the exported inputs are there already")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.reuse_inputs:
        run_ours(
            "export", "--out", args.work / "in", "--saes", ",".join(SAES), "--rows", 192,
            "--train-size", TRAIN_SIZE, "--test-size", TEST_SIZE,
            "--datasets", "embedded/news_topics,embedded/emotions,embedded/code_languages",
        )  # fmt: skip
    five, ours = core(args.work, SAES, BATCHES, "float32")
    one = core_of_one(args.work, args.work / f"core_5_{BATCHES[0]}_{BATCHES[1]}_float32_reference.json", BATCHES)
    published_ratio, _ = core(args.work, SAES[:1], (1, 10), "float32")
    half, _ = core(args.work, SAES[:1], BATCHES, "bfloat16")
    probing, ours_probing = sparse_probing(args.work, SAES, "float32")
    achieved, possible = model_pass_speed(ours, max(BATCHES)), matrix_product_speed(torch.float32)
    totals = ours["seconds"]
    texts = read(args.work / "in/texts.json").values()
    n_texts = sum(len(ids) for t in texts for split in ("train", "test") for ids in t[split].values())
    fill = ours_probing["n_tokens"] / (n_texts * 128)
    facts = [
        f"core, 5 SAEs: {totals['lm_pass'] / totals['total']:.0%} of the time is the pass of the model to the hook, "
        f"{totals['sae_encode'] / totals['total']:.0%} encoding, the rest the branches after the hook and their "
        "logits.",
        f"That pass runs at {achieved:.0f} GFLOP/s, {achieved / possible:.0%} of this machine's matrix product "
        f"({possible:.0f} GFLOP/s for 2048 x 576 x 1536 in float32; bfloat16: "
        f"{matrix_product_speed(torch.bfloat16):.0f}).",
        f"sparse_probing, 5 SAEs: {ours_probing['seconds']['lm_pass'] / ours_probing['seconds']['total']:.0%} of the "
        f"time is the pass. The texts fill {fill:.0%} of the context; the published package computes the padding too.",
        "One SAE at the published ratio of 1 : 10 batches is bound by the pass to the hook, which both sides have to "
        "make once; the second SAE onward costs us only its own encoding and branches.",
    ]
    (ROOT / "docs" / "benchmarks.md").write_text(report([one, five, published_ratio, half, probing], facts))


if __name__ == "__main__":
    main()
