"""Synthetic models and ground truth against SAELens: tensors, what samples add up to, metrics of the same codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference import read, run_reference
from rows import Row, equal

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.ground_truth.eval_config import GroundTruthEvalConfig
from sae_bench.evals.ground_truth.evaluate import GroundTruthJob
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.language_models.synthetic.parameters import SMALL, SyntheticParameters
from sae_bench.testing import tiny_sae

TITLE = "Synthetic models and ground truth"
SAMPLES = 40_000
JUDGED = 4096
INTRODUCTION = f"""\
`synthetic:small` against the `synthetic` module of SAELens 6.54.12 with the same parameters. Its tensors are compared
entry by entry. Samples are drawn by both sides with generators of their own, {SAMPLES:,} each: the
mean number of features that are on, and the rates of all features (in two standard errors of the difference for the
share of features that this holds for by chance, 95 %, less three standard errors of that share; features that are on in
fewer than 50 samples of both sides together are left out), and mean values where they are on. Metrics are of the same
decoders, codes and {JUDGED:,} samples.
"""


def saelens_config(p: SyntheticParameters) -> dict[str, Any]:
    """The parameters as SAELens names them."""
    return {
        "num_features": p.n_features,
        "hidden_dim": p.d_model,
        "firing_probability": {
            "generator_name": "zipfian", "exponent": p.exponent, "max_prob": p.largest_probability,
            "min_prob": p.smallest_probability,
        },
        "hierarchy": {
            "total_root_nodes": p.n_trees, "branching_factor": p.branching, "max_depth": p.depth,
            "mutually_exclusive_portion": 1.0, "compensate_probabilities": p.compensate,
            "scale_children_by_parent": p.scale_by_parent,
        },
        "orthogonalization": {"num_steps": p.orthogonal_steps, "lr": p.orthogonal_lr},
        "correlation": {"rank": p.correlation_rank, "correlation_scale": p.correlation_scale},
        "std_firing_magnitudes": {"generator_name": "folded_normal", "mean": p.spread_mean, "std": p.spread_std},
        "mean_firing_magnitudes": {"generator_name": "linear", "start": p.first_magnitude, "end": p.last_magnitude},
        "bias": p.bias_norm,
        "seed": p.seed,
    }  # fmt: skip


@torch.no_grad()
def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Tensors, statistics of samples, and metrics of four SAEs."""
    from safetensors.torch import load_file, save_file

    lm = SyntheticModel.of(SMALL, name="synthetic:small")
    config = work / "synthetic_config.json"
    config.write_text(json.dumps(saelens_config(SMALL), indent=1))
    rows: list[Row] = []
    for name in ("topk", "jumprelu", "relu", "random"):
        sae = tiny_sae(name, d_in=lm.d_model, d_sae=256, hook_name=lm.features.hook_name)
        given, out = work / f"synthetic_{name}.safetensors", work / f"synthetic_{name}_reference.safetensors"
        save_file(_given(lm, sae), given)
        if run:
            n = SAMPLES if not rows else 1000  # samples are compared once
            run_reference("run_synthetic.py", "--config", config, "--given", given, "--samples", n, "--out", out)
        if not rows:
            rows += [*_tensors(lm, load_file(out)), *_samples(lm, load_file(out))]
        ours = _metrics(lm, sae)
        rows += [
            equal(f"{name}: {key}", value, ours[key], relative=1e-5)
            for key, value in read(out.with_suffix(".json")).items()
        ]
    return rows


def _given(lm: SyntheticModel, sae: Any) -> dict[str, torch.Tensor]:
    numbers = lm.numbers(42, JUDGED)
    x_ND = lm.capture(numbers[:, None], [lm.features.hook_name])[lm.features.hook_name][:, 0]
    codes_NF = sae.encode(x_ND)
    on_NG = torch.from_numpy(lm.activity(numbers).toarray() > 0)
    tensors = {"x": x_ND, "codes": codes_NF, "rebuilt": sae.decode(codes_NF), "W_dec": sae.W_dec.detach()}
    tensors |= {"directions": lm.features.directions_GD, "features": on_NG.to(torch.uint8)}
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def _metrics(lm: SyntheticModel, sae: Any) -> dict[str, float]:
    job = GroundTruthJob(EvalContext(lm, (), (42,)), GroundTruthEvalConfig(n_samples=JUDGED))
    member = Member("parity", "sae", sae, lm.features.hook_name)
    scores = job.score(member, run_pass(lm, job.requests([member]), [member]).served)
    return {name: value for of in scores.metrics.model_dump().values() for name, value in of.items()}


def _tensors(lm: SyntheticModel, theirs: dict[str, torch.Tensor]) -> list[Row]:
    rows = []
    for name, value in lm.features.tensors().items():
        moved = value - theirs[name]
        if name == "directions_GD":  # where a gradient is nearly 0, rounding decides the sign of a step of Adam
            size = float(moved.pow(2).mean().sqrt())
            rows.append(Row(f"{name}, root mean square of the difference", 0.0, size, "1e-05", size <= 1e-5))
            cosine = float((value * theirs[name]).sum(dim=1).min())
            rows.append(Row(f"{name}, smallest cosine", 1.0, cosine, "at least 0.99999", cosine >= 0.99999))
        else:
            size = float(moved.abs().max())
            rows.append(Row(f"{name}, largest difference", 0.0, size, "1e-05", size <= 1e-5))
    return rows


def _samples(lm: SyntheticModel, theirs: dict[str, torch.Tensor]) -> list[Row]:
    activity = lm.activity(lm.numbers(7, SAMPLES))
    n_on = np.diff(activity.indptr)
    mean, std = theirs["l0"].tolist()
    error = float(np.hypot(std, n_on.std(ddof=1)) / SAMPLES**0.5)
    found = [
        Row(
            "features on per sample",
            mean,
            n_on.mean(),
            f"{2 * error:.2g} (two SE)",
            abs(mean - n_on.mean()) <= 2 * error,
        )
    ]
    count = np.bincount(activity.indices, minlength=lm.n_features)
    other = theirs["count"].numpy()
    seen = count + other >= 50
    p = (count + other)[seen] / (2 * SAMPLES)
    z = (count - other)[seen] / SAMPLES / np.sqrt(2 * p * (1 - p) / SAMPLES)
    share, least = float((np.abs(z) <= 2).mean()), 0.9545 - 3 * (0.9545 * 0.0455 / seen.sum()) ** 0.5
    found.append(
        Row(
            f"share of {seen.sum()} features with rates in two SE",
            0.9545,
            share,
            f"at least {least:.3f}",
            share >= least,
        )
    )
    largest, limit = float(np.abs(z).max()), 4.8  # two in a million by chance; 2,048 features
    found.append(Row("largest distance of a rate in SE", 0.0, largest, f"{limit}", largest <= limit))
    total = np.asarray(activity.sum(axis=0)).ravel()
    sizes = [
        (value[seen & (count > 0) & (other > 0)] / n[seen & (count > 0) & (other > 0)]).mean()
        for value, n in ((theirs["value"].numpy(), other), (total, count))
    ]
    found.append(
        Row("mean value of a feature that is on, mean over features", *sizes, "0.02", abs(sizes[0] - sizes[1]) <= 0.02)
    )
    return found
