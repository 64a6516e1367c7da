"""What all benchmarks share: one compared line, one page, inputs, runs of both sides, the machine's own speed."""

from __future__ import annotations

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
from reference import read  # noqa: E402
from reference import run_ours as start_ours  # noqa: E402
from reference import run_reference as start_reference  # noqa: E402

SAES = ("topk", "batch_topk", "jumprelu", "gated", "matryoshka_batch_topk")
REPEATS = int(os.environ.get("SAE_BENCH_REPEATS", "3"))
TRAIN_SIZE, TEST_SIZE = 160, 80
"""Texts per binary task of the labelled sets."""
DATASETS = "embedded/news_topics,embedded/emotions,embedded/code_languages"


@dataclass(frozen=True)
class Comparison:
    """One line of a table: seconds and peak memory of both sides (model loading left out of the seconds)."""

    what: str
    reference_s: float
    ours_s: float
    reference_mb: float | None = None
    ours_mb: float | None = None

    def markdown(self) -> str:
        memory = [" - " if mb is None else f" {mb:.0f} " for mb in (self.reference_mb, self.ours_mb)]
        seconds = f"{self.reference_s:.2f} | {self.ours_s:.2f} | **{self.reference_s / self.ours_s:.1f}x**"
        return f"| {self.what} | {seconds} |{'|'.join(memory)}|"


@dataclass(frozen=True)
class Page:
    """One benchmark: what was measured and how, the table, and facts below it."""

    title: str
    introduction: str
    lines: Sequence[Comparison]
    facts: Sequence[str] = ()


def export_inputs(work: Path) -> None:
    """Write model, SAEs, packed rows and labelled texts for both sides."""
    start_ours(
        "export", "--out", work / "in", "--saes", ",".join(SAES), "--rows", 192, "--train-size", TRAIN_SIZE,
        "--test-size", TEST_SIZE, "--datasets", DATASETS,
    )  # fmt: skip


def reference_inputs(work: Path) -> tuple[object, ...]:
    """The flags of a script of the published package's side."""
    return ("--model", work / "in/model", "--meta", work / "in/meta.json", "--sae-dir", work / "in/saes")


def run_reference(script: str, *arguments: object) -> dict[str, Any]:
    """Run a script of the published package's side and read what it wrote."""
    start_reference(script, *arguments)
    return read(Path(str(arguments[arguments.index("--out") + 1])))


def run_ours(command: str, work: Path, saes: Sequence[str], out: Path, *arguments: object) -> dict[str, Any]:
    """Run one command of our side and read what it wrote."""
    start_ours(command, "--inputs", work / "in", "--saes", ",".join(saes), "--out", out, *arguments)
    return read(out)


def median_run(runs: Sequence[dict[str, Any]], seconds: Callable[[dict[str, Any]], float]) -> dict[str, Any]:
    """The run whose seconds are the median."""
    return sorted(runs, key=seconds)[len(runs) // 2]


def matrix_product_speed(dtype: torch.dtype, *, seconds: float = 2.0) -> float:
    """GFLOP/s of the product that a layer of the embedded model spends most on, (2048, 576) x (576, 1536)."""
    a, b = torch.randn(2048, 576, dtype=dtype), torch.randn(576, 1536, dtype=dtype)
    return 2 * 2048 * 576 * 1536 / median_seconds(lambda: a @ b, seconds) / 1e9


def median_seconds(call: Callable[[], object], budget: float) -> float:
    """Median seconds of a call that is repeated for `budget` seconds."""
    times: list[float] = []
    call()
    while sum(times) < budget:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times)


def count(saes: Sequence[str]) -> str:
    """`5 SAEs`."""
    return f"{len(saes)} SAE" + ("s" if len(saes) > 1 else "")
