"""SAELens' synthetic model with given parameters: its tensors, what its samples add up to, its metrics of given codes.

python run_synthetic.py --config config.json --given given.safetensors --samples N --out out.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from sae_lens.evals import ExplainedVarianceCalculator
from sae_lens.synthetic import evals
from sae_lens.synthetic.synthetic_model import SyntheticModel, SyntheticModelConfig
from safetensors.torch import load_file, save_file


@torch.no_grad()
def sample_sums(model: SyntheticModel, n: int) -> dict[str, torch.Tensor]:
    """Of n samples: how often each feature is on, the sum of its values, and mean and spread of their number."""
    torch.manual_seed(0)
    n_features = model.cfg.num_features
    count, value = torch.zeros(n_features, dtype=torch.float64), torch.zeros(n_features, dtype=torch.float64)
    l0 = []
    for _ in range(0, n, 1000):
        _, acts = model.sample_with_features(1000)
        count += (acts > 0).sum(0)
        value += acts.double().sum(0)
        l0.append((acts > 0).sum(1))
    numbers = torch.cat(l0).double()
    return {"count": count, "value": value, "l0": torch.stack([numbers.mean(), numbers.std()])}


def metrics(given: dict[str, torch.Tensor]) -> dict[str, float]:
    """Its metrics of the decoder, codes, features and activations that were given."""
    decoder, truth = given["W_dec"], given["directions"]
    codes, features = given["codes"], given["features"].float()
    classified = evals.compute_classification_metrics(codes, features, decoder, truth)
    shrinkage, dead, l0 = evals.ShrinkageCalculator(), evals.DeadLatentsCalculator(len(decoder)), evals.L0Calculator()
    explained = ExplainedVarianceCalculator()
    for calculator in (shrinkage, explained):
        calculator.add_batch(given["rebuilt"], given["x"])
    for calculator in (dead, l0):
        calculator.add_batch(codes)
    return {
        "mcc": evals.mean_correlation_coefficient(decoder, truth),
        "uniqueness": evals.feature_uniqueness(decoder, truth),
        "precision": classified.precision,
        "recall": classified.recall,
        "f1": classified.f1_score,
        "accuracy": classified.accuracy,
        "shrinkage": shrinkage.compute(),
        "explained_variance": explained.compute(),
        "l0": l0.compute(),
        "dead_latents": float(dead.compute()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--given", type=Path, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = SyntheticModel(SyntheticModelConfig.from_dict(json.loads(args.config.read_text())))
    generator = model.activation_generator
    tensors = {
        "directions_GD": model.feature_dict.feature_vectors.data,
        "bias_D": model.feature_dict.bias.data,
        "probability_G": generator.firing_probabilities,
        "mean_G": generator.mean_firing_magnitudes,
        "spread_G": generator.std_firing_magnitudes,
        "causes_GR": model.correlation_matrix.correlation_factor,
        "own_G": model.correlation_matrix.correlation_diag.sqrt(),
    }
    save_file({**tensors, **sample_sums(model, args.samples)}, args.out)
    args.out.with_suffix(".json").write_text(json.dumps(metrics(load_file(args.given)), indent=1))


if __name__ == "__main__":
    main()
