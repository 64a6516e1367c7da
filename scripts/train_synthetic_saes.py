"""Train small SAEs, one per architecture, on a synthetic model whose features are known.

    pip install --no-deps dictionary-learning==0.1.0 einops
    python scripts/train_synthetic_saes.py --out synthetic_saes
    sae-bench run --model synthetic:small --sae path:synthetic_saes --evals ground_truth

Trainers and loop are those of `train_embedded_saes.py`. It trains on the samples of a seed of their own, which no eval
reads unless it is asked to.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from train_embedded_saes import Recipe, recipes, save, train

from sae_bench.custom_saes.loaders.dictionary_learning import resolve
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import LoadContext
from sae_bench.language_models import load_language_model
from sae_bench.language_models.synthetic.model import SyntheticModel

logger = logging.getLogger("train_synthetic_saes")

TRAINING_SEED = 2047
CHUNK = 8192
PENALTY_FACTOR = 5


def adapted(recipe: Recipe, l0: int) -> Recipe:
    """The recipe of the embedded suite for another number of active latents.

    Steered penalties start higher, since fewer active latents are wanted.
    """
    settings = dict(recipe.settings)
    for name in ("l1_penalty", "initial_sparsity_penalty"):
        if name in settings:
            settings[name] *= PENALTY_FACTOR
    if "k" in settings:
        settings["k"] = l0
    if "target_l0" in settings:
        settings["target_l0"] = float(l0)
    return replace(recipe, settings=settings, target_l0=float(l0))


def samples(lm: SyntheticModel, n: int) -> np.ndarray:
    """Activations (N, D) of the training seed, float32."""
    parts = []
    for numbers in lm.numbers(TRAINING_SEED, n).split(CHUNK):
        parts.append(lm.source.activations(numbers.numpy()))
    return np.concatenate(parts).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="synthetic:small", help="a synthetic model")
    parser.add_argument("--out", type=Path, default=Path("synthetic_saes"), help="folder of the SAEs")
    parser.add_argument("--d-sae", type=int, default=512, help="latents")
    parser.add_argument("--l0", type=int, default=10, help="active latents per sample that are aimed at")
    parser.add_argument("--samples", type=int, default=200_000, help="distinct training samples")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps")
    parser.add_argument("--batch-size", type=int, default=512, help="samples per step")
    parser.add_argument("--only", nargs="*", default=[], help="architectures to train; all by default")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    lm = load_language_model(args.model, device="cpu")
    assert isinstance(lm, SyntheticModel)
    data = samples(lm, args.samples)
    scale = float(np.sqrt(np.mean(np.sum(data**2, axis=1))))
    for recipe in recipes(args.steps):
        if args.only and recipe.name not in args.only:
            continue
        log: list[dict] = []
        trainer = train(
            adapted(recipe, args.l0), data, steps=args.steps, batch_size=args.batch_size, scale=scale, log=log,
            d_sae=args.d_sae, layer=lm.n_layers - 1, lm_name=lm.name,
        )  # fmt: skip
        context = LoadContext(torch.device("cpu"), torch.float32, lm, lm.features.hook_name)
        with TemporaryDirectory() as folder:
            save(trainer.ae, trainer.config, Path(folder) / recipe.name)
            (handle,) = resolve(str(Path(folder) / recipe.name))
            sae = handle.load(context)
        save_sae(
            sae,
            args.out / f"{recipe.name}.safetensors",
            dtype=torch.float16,
            metadata={"samples_seen": args.steps * args.batch_size, "seed": TRAINING_SEED, "log": log[-1]},
        )
        logger.info("%s", json.dumps(log[-1]))


if __name__ == "__main__":
    main()
