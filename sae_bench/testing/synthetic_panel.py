"""Results of a panel of SAEs that do not exist: trained ones, null baselines and ladders, on metrics of known worth.

Of each metric it is known how it follows the quality of an SAE, so what `validate` says of it can be held against that.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import get_eval
from sae_bench.results.files import result_path
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.model import SeedResult
from sae_bench.results.sample_files import samples_path, write_samples
from sae_bench.results.samples import Samples
from sae_bench.testing.simulated_samples import Design, simulate

LEVELS = (0.1, 0.25, 0.5, 1.0)
HOOK = "blocks.12.hook_resid_post"


@dataclass(frozen=True)
class PanelSAE:
    """One SAE of the panel.

    Attributes:
        quality: 0 for one that learned nothing, about 1 for a trained one.
        decoder_quality: the same of its decoder alone.
        config: what its results say of how it was made.
        encoder_of, decoder_of: id of the SAE whose encoder or decoder it has; empty: its own.
    """

    release: str
    sae_id: str
    quality: float
    decoder_quality: float
    config: Mapping[str, Any] = field(default_factory=dict)
    encoder_of: str = ""
    decoder_of: str = ""


@dataclass(frozen=True)
class Response:
    """What a metric makes of an SAE.

    Attributes:
        value: between 0 and 1, before noise.
        reads_decoder, reads_encoder: whether SAEs that differ in that part alone may have other scores.
    """

    value: Callable[[PanelSAE], float]
    reads_decoder: bool = True
    reads_encoder: bool = True


def follows(slope: float, *, start: float = 0.3) -> Response:
    """A metric that rises by `slope` from nulls to trained SAEs."""
    return Response(lambda sae: start + slope * min(sae.quality, sae.decoder_quality))


def reads_the_encoder(slope: float) -> Response:
    """A metric that does not see decoders."""
    return Response(lambda sae: 0.3 + slope * sae.quality, reads_decoder=False)


def reads_the_decoder(slope: float) -> Response:
    """A metric that does not see encoders."""
    return Response(lambda sae: 0.3 + slope * sae.decoder_quality, reads_encoder=False)


def saturates(slope: float) -> Response:
    """A metric that knows SAEs that learned nothing, and cannot tell the others apart."""
    return Response(lambda sae: 0.3 + (slope if min(sae.quality, sae.decoder_quality) > 0.05 else 0.0))


def panel_saes(n_trained: int = 5, *, n_ladders: int = 2) -> list[PanelSAE]:
    """Trained SAEs, three nulls of each, a random and an ideal one, and trained ones made worse step by step."""
    trained = [PanelSAE("synthetic", f"sae_{n}", 0.8 + 0.05 * n, 0.8 + 0.05 * n) for n in range(n_trained)]
    saes = [*trained, PanelSAE("baseline", "random", 0.0, 0.0), PanelSAE("baseline", "identity", 1.5, 1.5)]
    for parent in trained:
        saes += [_null(parent, name, 0.0) for name in ("random_l0_matched", "frozen_encoder")]
        saes.append(_null(parent, "permuted_decoder", parent.quality))
    for parent in trained[:n_ladders]:
        for kind in ("encoder_noise", "decoder_noise"):
            saes += [_rung(parent, kind, level) for level in LEVELS]
    return saes


def _null(parent: PanelSAE, name: str, quality: float) -> PanelSAE:
    derived = {"name": name, "release": parent.release, "sae_id": parent.sae_id}
    sae_id = f"{name}({parent.release}_{parent.sae_id})"
    encoder_of = parent.sae_id if name == "permuted_decoder" else ""
    return PanelSAE("baseline", sae_id, quality, 0.0, {"derived_from": derived}, encoder_of)


def _rung(parent: PanelSAE, kind: str, level: float) -> PanelSAE:
    ladder = f"degraded({parent.release}_{parent.sae_id},{kind})"
    of_encoder = kind == "encoder_noise"
    left = parent.quality * (1.0 - 0.8 * level)
    config = {
        "derived_from": {
            "name": "degraded", "kind": kind, "level": level, "release": parent.release, "sae_id": parent.sae_id,
        },
        "ladder": {"ladder": f"baseline:{ladder}", "by": "level", "value": level, "better": "lower"},
    }  # fmt: skip
    return PanelSAE(
        "baseline", f"{ladder[:-1]},{level:g})", left if of_encoder else parent.quality,
        parent.quality if of_encoder else left, config, "" if of_encoder else parent.sae_id,
        parent.sae_id if of_encoder else "",
    )  # fmt: skip


def write_panel(
    folder: Path,
    responses: Sequence[Response],
    *,
    seeds: Sequence[int] = (42, 43, 44, 45, 46, 47),
    design: Design | None = None,
    saes: Sequence[PanelSAE] = (),
    random_seed: int = 0,
    eval_name: str = "sparse_probing",
) -> list[Path]:
    """Write a result file per SAE; the eval's first headline metrics take the responses in their order.

    Args:
        design: noise of texts and seeds.
        saes: the panel; `panel_saes()` by default.
        random_seed: of the noise.
    """
    rng = np.random.default_rng(random_seed)
    spec = get_eval(eval_name)
    design = design or Design(n_seeds=len(seeds), n_units=120, text=0.12, cell=0.08, seed=0.01)
    text_U = rng.standard_normal(design.n_units)
    noise = _Noise(design, text_U, random_seed)
    return [_write(folder, spec, sae, responses, seeds, noise) for sae in saes or panel_saes()]


@dataclass(frozen=True)
class _Noise:
    design: Design
    text_U: np.ndarray
    seed: int

    def samples(self, number: int, response: Response, sae: PanelSAE) -> Samples:
        """Of one metric; SAEs that differ in nothing that it reads have the same noise."""
        name = (sae.encoder_of if not response.reads_decoder else "") or sae.sae_id
        name = (sae.decoder_of if not response.reads_encoder else "") or name
        rng = np.random.default_rng([self.seed, number, zlib.crc32(name.encode())])
        return simulate(self.design, rng, self.text_U, mean=response.value(sae))


def _write(
    folder: Path, spec: EvalSpec, sae: PanelSAE, responses: Sequence[Response], seeds: Sequence[int], noise: _Noise
) -> Path:
    chosen = zip(spec.metrics, responses, strict=False)
    samples = {metric.path: noise.samples(n, response, sae) for n, (metric, response) in enumerate(chosen)}
    of_seeds = {path: sample.seed_values() for path, sample in samples.items()}
    metrics = {path: float(np.mean(values)) for path, values in of_seeds.items()}
    seed_results = [SeedResult(seed=s, metrics={p: v[i] for p, v in of_seeds.items()}) for i, s in enumerate(seeds)]
    statistics = describe_metrics(metrics, seed_results=seed_results, samples=samples, bootstrap_draws=0)
    eval_id = f"panel-{spec.name}"
    content: dict[str, Any] = {
        "eval_type_id": spec.type_id, "eval_config": {"random_seed": seeds[0], "model_name": "synthetic-2b"},
        "eval_id": eval_id, "datetime_epoch_millis": 1_700_000_000_000,
        "eval_result_metrics": _nested(metrics), "eval_result_details": [], "sae_bench_commit_hash": "Unknown",
        "sae_lens_id": sae.sae_id, "sae_lens_release_id": sae.release, "sae_lens_version": None,
        "sae_cfg_dict": {"architecture": "topk", "d_in": 64, "d_sae": 256, "hook_name": HOOK, **sae.config},
        "eval_result_unstructured": {}, "provenance": _provenance(spec, seeds), "not_computed": {},
        "seed_results": [entry.model_dump() for entry in seed_results],
        "statistics": {path: entry.model_dump() for path, entry in statistics.items()},
    }  # fmt: skip
    target = result_path(folder / spec.name, sae.release, sae.sae_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content), encoding="utf-8")
    beside = samples_path(target.parent, sae.release, sae.sae_id)
    write_samples(beside, samples, eval_name=spec.name, eval_id=eval_id, seeds=list(seeds))
    return target


def _provenance(spec: EvalSpec, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "protocol": spec.protocol, "package_version": "1.0", "commit": None, "python_version": "3.11",
        "torch_version": "2.6", "transformers_version": "4.57", "model": "synthetic-2b",
        "model_fingerprint": "synthetic", "llm_dtype": "float32", "sae_dtype": "float32", "device": "cpu",
        "prepend_bos": True, "seeds": list(seeds), "resample_data": False, "datasets": {},
        "seconds": {"lm pass (shared)": 100.0, "score": 2.5}, "warnings": [],
    }  # fmt: skip


def _nested(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    categories: dict[str, dict[str, float]] = {}
    for path, value in metrics.items():
        category, name = path.split(".", 1)
        categories.setdefault(category, {})[name] = value
    return categories
