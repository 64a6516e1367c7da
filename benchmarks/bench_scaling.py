"""What a second worker brings: one run on a Ray cluster of one worker on one core, and of two workers on two cores.

python benchmarks/run_benchmarks.py --only scaling --reuse-inputs
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common import Page

EVALS = ("core", "meta_structure", "unlearning")
COPIES = 4
"""How often each of the seven embedded SAEs is evaluated: units have to be large beside what each worker pays anew."""


def measure(work: Path) -> Page:
    """Seconds of both runs, their start and loading included."""
    one, two = (_run(n, work) for n in (1, 2))
    seconds, again = one["seconds"], one["again"]
    introduction = (
        f"`sae-bench run --engine ray` with {', '.join(EVALS)} at the demo's settings on {one['n_saes']:.0f} SAEs (the "
        f"embedded ones, {COPIES} times each), float32, one thread per worker. Seconds run from the first worker's "
        "start to the last result: each imports, loads the model, prepares the evals and reads the texts for its SAEs."
    )
    facts = [
        f"One worker on one core: {seconds:.0f} s.",
        f"Two workers on two cores: {two['seconds']:.0f} s, **{seconds / two['seconds']:.2f}x**.",
        f"Of the one worker's seconds, {again:.0f} s are its model's pass and the preparing of evals, which each of "
        f"two pays: with that alone, {seconds / (again + (seconds - again) / 2):.2f}x could be had.",
    ]
    return Page("workers of a cluster", introduction, [], facts)


def _run(n_workers: int, work: Path) -> dict[str, float]:
    import ray

    from sae_bench.cli.demo import demo_settings
    from sae_bench.custom_saes.listing import SUITE
    from sae_bench.run.evaluate import execute
    from sae_bench.run.request import RunRequest

    settings: dict[str, Any] = {name: values for name, values in demo_settings().items() if name in EVALS}
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir=work.resolve()) as folder:
        saes = [Path(folder) / f"copy_{n}" for n in range(COPIES)]
        for copy in saes:
            shutil.copytree(SUITE, copy)
        request = RunRequest.of(
            targets=[{"model": "embedded", "saes": [f"path:{copy}" for copy in saes], "llm_dtype": "float32"}],
            evals=EVALS,
            preset="quick",
            settings=settings,
            output_folder=Path(folder) / "results",
            device="cpu",
            engine="ray",
        )
        ray.init(address="local", num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
        try:
            start = perf_counter()
            summary = execute(request)
            seconds = perf_counter() - start
        finally:
            ray.shutdown()
        if summary.failures:
            raise RuntimeError(summary.failures[0].message)
        return {"seconds": seconds, "n_saes": len(summary.results) / len(EVALS), "again": _paid_again(summary.results)}


def _paid_again(results: list[Path]) -> float:
    """Seconds of one worker's pass of the model and of preparing each eval."""
    recorded = [json.loads(path.read_text()) for path in results]
    prepared = {one["eval_type_id"]: one["provenance"]["seconds"]["prepare (shared)"] for one in recorded}
    read = max(one["provenance"]["seconds"]["lm_pass (shared)"] for one in recorded)
    return sum(prepared.values()) + read
