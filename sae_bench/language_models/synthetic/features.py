"""The features of a synthetic model as tensors, made from its parameters or read from published files.

Shapes: G true features, D d_model, R common causes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sae_bench.errors import ModelError
from sae_bench.language_models.synthetic.parameters import HOOK, SyntheticParameters
from sae_bench.language_models.synthetic.trees import Hierarchy, compensation, grown_trees, trees_from

CONFIG, WEIGHTS, HIERARCHY = "synthetic_model_config.json", "synthetic_model.safetensors", "hierarchy.json"
"""Files of a published model."""

LEAST_OWN_SHARE = 0.01
"""So much of a feature's variance is its own at least, whatever the common causes."""

MAGNITUDE_SEEDS = {"std_firing_magnitudes": 1, "mean_firing_magnitudes": 2}
CORRELATION_SEED = 4
"""What is added to a model's seed for its magnitudes and its correlations, as in the published models."""


@dataclass(frozen=True)
class SyntheticFeatures:
    """All that samples are drawn from.

    Attributes:
        directions_GD: unit directions of the features.
        bias_D: what all activations have in common.
        probability_G: how often a feature fires before the hierarchy.
        mean_G, spread_G: mean and standard deviation of its size when it fires.
        causes_GR: how it depends on the common causes.
        own_G: standard deviation of what is its own; with the causes, the variance is 1.
    """

    directions_GD: Float[Tensor, "G D"]
    bias_D: Float[Tensor, " D"]
    probability_G: Float[Tensor, " G"]
    mean_G: Float[Tensor, " G"]
    spread_G: Float[Tensor, " G"]
    causes_GR: Float[Tensor, "G R"]
    own_G: Float[Tensor, " G"]
    hierarchy: Hierarchy
    hook_name: str = HOOK

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def make_features(parameters: SyntheticParameters) -> SyntheticFeatures:
    """The features that the parameters describe, the same on every call.

    Directions are pushed apart as published; the sums of their gradient are taken over D x D instead of G x G values.
    """
    p = parameters
    generator = torch.Generator().manual_seed(p.seed)
    start_GD = _unit(torch.randn(p.n_features, p.d_model, generator=generator))
    bias_D = torch.randn(p.d_model, generator=generator)
    trees = grown_trees(
        p.n_features, p.n_trees, branching=p.branching, depth=p.depth, exclusive=p.exclusive_children,
        scales=p.scale_by_parent,
    )  # fmt: skip
    base_G = zipf_probabilities(p.n_features, p.largest_probability, p.smallest_probability, p.exponent)
    spread = torch.Generator().manual_seed(p.seed + MAGNITUDE_SEEDS["std_firing_magnitudes"])
    causes_GR, own_G = correlations(p.n_features, p.correlation_rank, p.correlation_scale, p.seed + CORRELATION_SEED)
    return SyntheticFeatures(
        pushed_apart(start_GD, steps=p.orthogonal_steps, lr=p.orthogonal_lr),
        bias_D / bias_D.norm().clamp(min=1e-8) * p.bias_norm,
        (base_G * compensation(trees, base_G)).clamp(max=1.0) if p.compensate else base_G,
        torch.linspace(p.first_magnitude, p.last_magnitude, p.n_features),
        (p.spread_mean + torch.randn(p.n_features, generator=spread) * p.spread_std).abs(),
        causes_GR,
        own_G,
        Hierarchy(trees),
        p.hook_name,
    )


def zipf_probabilities(n: int, largest: float, smallest: float, exponent: float) -> Float[Tensor, " G"]:
    """rank^-exponent, moved and scaled to reach from `largest` to `smallest`.

    Args:
        n: features.
        largest, smallest: of the first and the last.
        exponent: of the ranks.
    """
    z_G = 1.0 / torch.arange(1, n + 1, dtype=torch.float32) ** exponent
    return smallest + (largest - smallest) * (z_G - z_G.min()) / (z_G.max() - z_G.min())


def correlations(n: int, rank: int, scale: float, seed: int) -> tuple[Float[Tensor, "G R"], Float[Tensor, " G"]]:
    """Random dependence on common causes, and what is left as each feature's own, so that all variances are 1.

    Args:
        n, rank: features and causes.
        scale: standard deviation of the dependence.
        seed: of the draw.
    """
    causes_GR = torch.randn(n, rank, generator=torch.Generator().manual_seed(seed)) * scale
    shared_G = causes_GR.pow(2).sum(dim=1)
    over_G = shared_G > 1 - LEAST_OWN_SHARE
    causes_GR[over_G] *= torch.sqrt((1 - LEAST_OWN_SHARE) / shared_G[over_G])[:, None]
    return causes_GR, (1 - causes_GR.pow(2).sum(dim=1)).sqrt()


@torch.no_grad()
def pushed_apart(
    start_GD: Float[Tensor, "G D"], *, steps: int, lr: float, on_step: Callable[[int], None] | None = None
) -> Float[Tensor, "G D"]:
    """Unit directions after Adam steps on sum_{i != j} (d_i . d_j)^2 + G sum_i (|d_i|^2 - 1)^2.

    The gradient is 4 (D D^T D - |d|^2 d) + 4 G (|d|^2 - 1) d, and D D^T D = D (D^T D) needs no G x G matrix.

    Args:
        start_GD: unit rows.
        steps, lr: of Adam.
        on_step: told the number of each step.
    """
    d_GD = start_GD.clone()
    first_GD, second_GD = torch.zeros_like(d_GD), torch.zeros_like(d_GD)
    for step in range(1, steps + 1):
        square_G1 = d_GD.pow(2).sum(dim=1, keepdim=True)
        gradient_GD = 4 * (d_GD @ (d_GD.T @ d_GD) + (len(d_GD) * (square_G1 - 1) - square_G1) * d_GD)
        first_GD.lerp_(gradient_GD, 0.1)
        second_GD.mul_(0.999).addcmul_(gradient_GD, gradient_GD, value=0.001)
        scale_GD = (second_GD / (1 - 0.999**step)).sqrt_().add_(1e-8)
        d_GD.addcdiv_(first_GD, scale_GD, value=-lr / (1 - 0.9**step))
        if on_step is not None:
            on_step(step)
    return _unit(d_GD)


def _unit(x_GD: Tensor) -> Tensor:
    return x_GD / x_GD.norm(dim=1, keepdim=True).clamp(min=1e-8)


# ---- published files


def read_features(folder: Path) -> SyntheticFeatures:
    """A published synthetic model from its files.

    Raises:
        ModelError: a file is missing or broken, or says something that this version does not know.
    """
    config = _json(folder / CONFIG)
    try:
        weights = load_file(folder / WEIGHTS)
        directions_GD, bias_D = weights["feature_vectors"].float(), weights["bias"].float()
        probability_G = weights["firing_probabilities"].float()
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"'{folder / WEIGHTS}' cannot be read: {type(error).__name__}: {error}.") from error
    n, seed = len(directions_GD), int(config.get("seed") or 0)
    hierarchy = folder / HIERARCHY
    trees = trees_from(_json(hierarchy), source=str(hierarchy)) if hierarchy.is_file() else []
    return SyntheticFeatures(
        directions_GD,
        bias_D,
        probability_G,
        _magnitudes(config, "mean_firing_magnitudes", n, seed, default=1.0),
        _magnitudes(config, "std_firing_magnitudes", n, seed, default=0.0),
        weights.get("correlation_factor", torch.zeros(n, 0)).float(),
        weights.get("correlation_diag", torch.ones(n)).float().sqrt(),
        Hierarchy(trees),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' cannot be read: {error}. Next: give a folder with {CONFIG}, {WEIGHTS} and {HIERARCHY}."
        ) from error


def _magnitudes(config: Any, name: str, n: int, seed: int, *, default: float) -> Float[Tensor, " G"]:
    """Per feature, what a published configuration describes: a number, or a rule by name."""
    given = config.get(name, default)
    if isinstance(given, int | float):
        return torch.full((n,), float(given))
    kind = given.get("generator_name")
    if kind == "constant":
        return torch.full((n,), float(given["value"]))
    if kind == "linear":
        return torch.linspace(given["start"], given["end"], n)
    if kind == "exponential":
        return given["start"] * (given["end"] / given["start"]) ** torch.linspace(0, 1, n)
    if kind == "folded_normal":
        generator = torch.Generator().manual_seed(seed + MAGNITUDE_SEEDS[name])
        drawn_G = (given["mean"] + torch.randn(n, generator=generator) * given["std"]).abs()
        least, most = given.get("min_value"), given.get("max_value")
        return drawn_G.clamp(min=0.0 if least is None else least, max=math.inf if most is None else most)
    known = "constant, linear, exponential, folded_normal"
    raise ModelError(f"{name} of this synthetic model follow the rule {kind!r}; known are {known}.")
