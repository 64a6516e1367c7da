"""Result files of SAEs that do not exist, with plausible numbers: to look at a report, and to measure it.

Scores follow sparsity, width and architecture with the noise of texts and seeds that `simulated_samples` makes; a file
has all parts that a run writes (details, samples, statistics, provenance).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from sae_bench.evals.base import EvalSpec, Metric
from sae_bench.evals.registry import get_eval
from sae_bench.results.files import result_path
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.model import SeedResult
from sae_bench.results.sample_files import samples_path, write_samples
from sae_bench.results.samples import Samples
from sae_bench.testing.simulated_samples import Design, simulate

ARCHITECTURES = ("standard", "topk", "batch_topk", "jumprelu", "gated", "p_anneal", "matryoshka_batch_topk")
WIDTHS = (4096, 16384, 65536)
SPARSITIES = (20, 32, 40, 80, 160, 320, 640)
SEEDS = (42, 43, 44)
_STEP_TOKENS = 50_000_000


@dataclass(frozen=True)
class SyntheticSAE:
    """One SAE that does not exist."""

    number: int
    architecture: str
    width: int
    l0: float
    training_tokens: int

    @property
    def sae_id(self) -> str:
        return f"blocks.12.hook_resid_post__{self.architecture}_width_{self.width}_trainer_{self.number}"

    @property
    def quality(self) -> float:
        """Between about 0 and 1: wider, later trained and middle sparsities are better."""
        sparsity = math.exp(-((math.log(self.l0 / 80) / 2.2) ** 2))
        rank = ARCHITECTURES.index(self.architecture) / len(ARCHITECTURES)
        trained = min(self.training_tokens / 500_000_000, 1.0) ** 0.3
        return 0.35 + 0.25 * sparsity + 0.15 * rank + 0.1 * math.log2(self.width / 2048) / 5 + 0.12 * trained


def synthetic_saes(n: int) -> list[SyntheticSAE]:
    """SAEs over all architectures, sparsities, widths and a few checkpoints."""
    return [
        SyntheticSAE(
            number=i,
            architecture=ARCHITECTURES[i % len(ARCHITECTURES)],
            width=WIDTHS[(i // 7) % len(WIDTHS)],
            l0=SPARSITIES[(i // 3) % len(SPARSITIES)] * (0.9 + 0.02 * (i % 11)),
            training_tokens=_STEP_TOKENS * (1 + (i // 21) % 10),
        )
        for i in range(n)
    ]


def write_synthetic_results(
    folder: Path,
    n_saes: int,
    *,
    evals: Sequence[str] = ("core", "sparse_probing"),
    seeds: Sequence[int] = SEEDS,
    n_units: int = 120,
    n_latents: int = 1000,
) -> list[Path]:
    """Write one file per SAE and eval, with its samples beside it, and say where."""
    rng = np.random.default_rng(0)
    design = Design(n_seeds=len(seeds), n_units=n_units, text=0.12, cell=0.08, seed=0.006)
    texts = {name: rng.standard_normal(n_units) for name in evals}
    return [
        _write(folder, get_eval(name), sae, seeds, design, texts[name], n_latents, rng)
        for sae in synthetic_saes(n_saes)
        for name in evals
    ]


def _write(
    folder: Path,
    spec: EvalSpec,
    sae: SyntheticSAE,
    seeds: Sequence[int],
    design: Design,
    text_U: np.ndarray,
    n_latents: int,
    rng: np.random.Generator,
) -> Path:
    samples = {metric.path: _samples(metric, sae, design, text_U, rng) for metric in spec.metrics}
    of_seeds = {path: sample.seed_values() for path, sample in samples.items()}
    metrics = {path: float(np.mean(values)) for path, values in of_seeds.items()}
    seed_results = [SeedResult(seed=s, metrics={p: v[i] for p, v in of_seeds.items()}) for i, s in enumerate(seeds)]
    statistics = describe_metrics(metrics, seed_results=seed_results, samples=samples, bootstrap_draws=0)
    eval_id = f"synthetic-{spec.name}"
    content: dict[str, Any] = {
        "eval_type_id": spec.output.model_fields["eval_type_id"].default or spec.name,
        "eval_config": {"random_seed": seeds[0], "model_name": "synthetic-2b"},
        "eval_id": eval_id,
        "datetime_epoch_millis": 1_700_000_000_000,
        "eval_result_metrics": _nested(metrics),
        "eval_result_details": _details(spec, sae, n_latents, rng),
        "sae_bench_commit_hash": "Unknown",
        "sae_lens_id": sae.sae_id,
        "sae_lens_release_id": "synthetic",
        "sae_lens_version": None,
        "sae_cfg_dict": {
            "architecture": sae.architecture, "d_in": 2304, "d_sae": sae.width, "hook_layer": 12,
            "hook_name": "blocks.12.hook_resid_post", "training_tokens": sae.training_tokens,
        },
        "eval_result_unstructured": _unstructured(spec, sae, rng),
        "provenance": _provenance(spec, seeds),
        "seed_results": [entry.model_dump() for entry in seed_results],
        "statistics": {path: entry.model_dump() for path, entry in statistics.items()},
        "not_computed": {},
    }  # fmt: skip
    target = result_path(folder / spec.name, "synthetic", sae.sae_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content), encoding="utf-8")
    beside = samples_path(target.parent, "synthetic", sae.sae_id)
    write_samples(beside, samples, eval_name=spec.name, eval_id=eval_id, seeds=list(seeds))
    return target


def _samples(
    metric: Metric, sae: SyntheticSAE, design: Design, text_U: np.ndarray, rng: np.random.Generator
) -> Samples:
    if metric.path == "sparsity.l0":
        return simulate(design, rng, text_U, mean=sae.l0)
    quality = sae.quality if metric.higher_is_better is not False else 1.0 - sae.quality
    chance = metric.chance or 0.0
    return simulate(design, rng, text_U, mean=chance + (1.0 - chance) * min(max(quality, 0.02), 0.98))


def _details(spec: EvalSpec, sae: SyntheticSAE, n_latents: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    if spec.name == "core":
        density_F = 10.0 ** rng.normal(math.log10(sae.l0 / sae.width), 0.7, n_latents).clip(-6, 0)
        density_F[rng.random(n_latents) < 0.03] = 0.0
        cosine_F = rng.beta(2, 4, n_latents)
        return [
            {"index": i, "feature_density": float(d), "max_decoder_cosine_sim": float(c)}
            for i, (d, c) in enumerate(zip(density_F, cosine_F, strict=True))
        ]
    (row,) = get_args(spec.output.model_fields["eval_result_details"].annotation)
    names = "abcdefghijk" if spec.name == "absorption" else ("biographies", "reviews", "code", "languages", "news")
    return [
        {field: _cell(info.annotation, name, n, sae, rng) for field, info in row.model_fields.items()}
        for n, name in enumerate(names)
    ]


def _cell(annotation: Any, name: str, n: int, sae: SyntheticSAE, rng: np.random.Generator) -> Any:
    """A value of a detail, by its type."""
    kinds = {annotation, *get_args(annotation)}
    if str in kinds:
        return name
    if bool in kinds:
        return n % 2 == 0
    if int in kinds:
        return n + 1
    return float(sae.quality + rng.normal(0, 0.05)) if float in kinds else None


def _unstructured(spec: EvalSpec, sae: SyntheticSAE, rng: np.random.Generator) -> Any:
    if spec.name == "autointerp":
        return {str(i): _explained(i, float(rng.integers(7, 15)) / 14) for i in range(12)}
    if spec.name == "core":
        return {}
    classes = ("nurse", "surgeon", "teacher", "poet", "judge")
    return {
        f"{name}_results": {
            f"sae_top_{k}_test_accuracy": {c: float(sae.quality + rng.normal(0, 0.05)) for c in classes} for k in (1, 5)
        }
        for name in ("biographies", "reviews")
    }


def _explained(latent: int, score: float) -> dict[str, Any]:
    return {
        "latent": latent,
        "explanation": f"words about the sea, number {latent}",
        "predictions": [1, 4, 9],
        "correct seqs": [1, 4, 10],
        "score": score,
        "logs": "1: the << boat>> left the << harbour>> at dawn\n2: he paid the bill",
    }


def _provenance(spec: EvalSpec, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "protocol": spec.protocol, "package_version": "1.0", "commit": None, "python_version": "3.11",
        "torch_version": "2.6", "transformers_version": "4.57", "model": "synthetic-2b",
        "model_fingerprint": "synthetic", "llm_dtype": "float32", "sae_dtype": "float32", "device": "cpu",
        "prepend_bos": True, "seeds": list(seeds), "resample_data": False,
        "datasets": {"synthetic": {"source": "none", "revision": "0"}},
        "seconds": {"lm pass (shared)": 100.0, "score": 2.5}, "warnings": [],
    }  # fmt: skip


def _nested(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    categories: dict[str, dict[str, float]] = {}
    for path, value in metrics.items():
        category, name = path.split(".", 1)
        categories.setdefault(category, {})[name] = value
    return categories
