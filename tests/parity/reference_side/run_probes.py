"""The published probes on given pooled vectors, with scikit-learn's default solver and with a converged one.

The published code leaves scikit-learn's solver at its defaults, in float32. On a channel of the residual stream whose
mean is far from zero it stops before the optimum. `converged` gives it float64 inputs and a tight tolerance.
"""

from __future__ import annotations

import random
from pathlib import Path
from statistics import fmean
from typing import Any

import adapters
import harness
import torch
from safetensors.torch import load_file

TIGHT = {"tol": 1e-12, "max_iter": 100_000}


def main(argv: list[str] | None = None) -> None:
    parser = harness.base_parser(str(__doc__))
    parser.add_argument("--pooled", type=Path, required=True, help="safetensors, 'data set|split|class' -> (T, D)")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument("--k", type=harness.integers, default=[1, 2, 5], help="numbers of channels, comma-separated")
    args = parser.parse_args(argv)
    harness.start_logging()
    harness.require_reference()
    datasets: dict[str, dict[str, dict[str, torch.Tensor]]] = {}
    for key, value in load_file(args.pooled).items():
        name, split, label = key.split("|")
        datasets.setdefault(name, {"train": {}, "test": {}})[split][label] = value
    adapters.repair_sklearn_probe()
    report: dict[str, Any] = {}
    with harness.output_to(args.out.with_suffix(".log")):
        for solver in ("default", "converged"):
            if solver == "converged":
                tighten_solver()
            report[solver] = {
                f"llm_top_{k}_test_accuracy": [accuracy(datasets, k, seed) for seed in args.seeds] for k in args.k
            }
    harness.write_json(args.out, report)


def accuracy(datasets: dict[str, Any], k: int, seed: int) -> float:
    """Mean over classes, then data sets, of the published probe on the top k channels."""
    training = harness.reference("evals.sparse_probing.probe_training")
    random.seed(seed)
    torch.manual_seed(seed)
    means = []
    for splits in datasets.values():
        _, accuracies = training.train_probe_on_activations(splits["train"], splits["test"], select_top_k=k)
        means.append(fmean(accuracies.values()))
    return fmean(means)


def tighten_solver() -> None:
    """Let the published function's logistic regression reach its optimum."""
    training = harness.reference("evals.sparse_probing.probe_training")
    published = training.LogisticRegression

    class Converged(published):  # type: ignore[misc, valid-type]
        def __init__(self, **settings: Any) -> None:
            super().__init__(**{**settings, **TIGHT})

        def fit(self, x: Any, y: Any) -> Any:
            return super().fit(x.astype("float64"), y)

    training.LogisticRegression = Converged


if __name__ == "__main__":
    main()
