"""Train the SAEs that ship with the package, one per architecture, on one layer of the embedded model.

    pip install --no-deps dictionary-learning==0.1.0 einops
    python scripts/train_embedded_saes.py --work .work/saes

Trainers are those of the dictionary_learning package. The L1 coefficient of the architectures that have one is steered
towards the target L0 while they train. L1 shrinks activations, so where a recipe says so the decoder is fitted once
more by ridge regression on the finished codes (the encoder, and with it L0, stays as it is).

`--snapshots N` also writes each SAE N times while it trains, as a ladder of known order for `sae-bench run --ladder`. A
small one takes minutes:

    python scripts/train_embedded_saes.py --work .work/ladder --only topk --tokens 200000 --steps 400 --snapshots 6
    sae-bench run --model embedded --ladder path:.work/ladder/topk_snapshots

`--model`, `--layer` and `--d-sae` train them on another model, on the same texts.

Reads the `train` part of the embedded corpus only; explained variance, L0 and dead latents in the log are measured on
the `held_out` part.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import logging
import math
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.datasets.embedded import corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.language_models import LanguageModel, load_language_model

logger = logging.getLogger("train_embedded_saes")

LAYER = 10
D_SAE = 1536
CONTEXT = 256
SEED = 0
TRAINER_MODULES = {
    "TopKTrainer": "top_k",
    "BatchTopKTrainer": "batch_top_k",
    "MatryoshkaBatchTopKTrainer": "matryoshka_batch_top_k",
    "JumpReluTrainer": "jumprelu",
    "StandardTrainer": "standard",
    "GatedSAETrainer": "gdm",
    "PAnnealTrainer": "p_anneal",
}


@dataclass(frozen=True)
class Recipe:
    """How one architecture is trained; `steered` names the trainer attribute that is moved to reach `target_l0`."""

    name: str
    trainer: str
    settings: dict[str, Any] = field(default_factory=dict)
    target_l0: float = 50.0
    steered: str | None = None
    refit_decoder: bool = False


def recipes(steps: int) -> list[Recipe]:
    """One recipe per architecture for a run of `steps` steps."""
    warmup = min(200, steps // 6)
    sparsity_warmup = {
        "warmup_steps": warmup, "sparsity_warmup_steps": min(500, steps // 2), "decay_start": int(steps * 0.8)
    }  # fmt: skip
    topk = {
        "warmup_steps": warmup, "decay_start": int(steps * 0.8), "threshold_start_step": min(500, steps // 2),
        "threshold_beta": 0.99, "lr": 1e-3,
    }  # fmt: skip
    return [
        Recipe("topk", "TopKTrainer", {**topk, "k": 40}),
        Recipe("batch_topk", "BatchTopKTrainer", {**topk, "k": 40}),
        Recipe(
            "matryoshka_batch_topk", "MatryoshkaBatchTopKTrainer",
            {**topk, "k": 44, "group_fractions": [0.125, 0.125, 0.25, 0.5]},
        ),
        Recipe("jumprelu", "JumpReluTrainer", {**sparsity_warmup, "lr": 1e-3, "target_l0": 45.0}),
        Recipe(
            "relu", "StandardTrainer", {**sparsity_warmup, "lr": 7e-4, "l1_penalty": 0.02}, target_l0=54.0,
            steered="l1_penalty", refit_decoder=True,
        ),
        Recipe("gated", "GatedSAETrainer", {**sparsity_warmup, "lr": 1e-3, "l1_penalty": 0.02}, steered="l1_penalty"),
        Recipe(
            "p_anneal", "PAnnealTrainer",
            {
                **sparsity_warmup, "lr": 7e-4, "initial_sparsity_penalty": 0.02, "anneal_start": int(steps * 0.4),
                "p_end": 0.5, "sparsity_function": "Lp^p",
            },
            target_l0=54.0, steered="sparsity_coeff", refit_decoder=True,
        ),
    ]  # fmt: skip


@torch.no_grad()
def collect(lm: LanguageModel, split: str, n_tokens: int, path: Path, layer: int = LAYER) -> np.ndarray:
    """Activations (N, D) after a layer as float16, BOS and separators left out; kept in `path`.

    Args:
        lm: the model.
        split: of the embedded corpus.
        n_tokens: of whole texts that are read.
        path: of the .npy file.
        layer: of the residual stream.
    """
    hook = f"blocks.{layer}.hook_resid_post"
    if path.exists():
        return np.load(path, mmap_mode="r")
    rows = pack_corpus(corpus(split), lm, n_rows=n_tokens // CONTEXT, context_length=CONTEXT, seed=SEED)  # type: ignore[arg-type]
    special = torch.tensor(sorted(lm.special_token_ids))
    partial = path.with_suffix(".partial.npy")
    capacity = rows.numel()
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=(capacity, lm.d_model))
    n = 0
    for batch in rows.split(16):
        x = lm.capture(batch, [hook])[hook][~torch.isin(batch, special)]
        out[n : n + len(x)] = x.half().numpy()
        n += len(x)
    np.save(path, out[:n])
    partial.unlink()
    return np.load(path, mmap_mode="r")


def batches(data: np.ndarray, batch_size: int, steps: int, scale: float) -> Iterator[Tensor]:
    """Random batches (without replacement within an epoch), scaled to unit mean squared norm."""
    rng = np.random.default_rng(SEED)
    done = 0
    while done < steps:
        order = rng.permutation(len(data))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            if done == steps:
                return
            rows = np.sort(order[start : start + batch_size])
            yield torch.from_numpy(data[rows].astype(np.float32)) / scale
            done += 1


def snapshot_steps(steps: int, n_snapshots: int) -> set[int]:
    """How many steps snapshots have seen: each twice as many as the one before, the last one all."""
    return {max(1, steps // 2**i) for i in range(n_snapshots)}


def train(
    recipe: Recipe,
    data: np.ndarray,
    *,
    steps: int,
    batch_size: int,
    scale: float,
    log: list[dict],
    snapshots: tuple[int, Path] = (0, Path()),
    d_sae: int = D_SAE,
    layer: int = LAYER,
    lm_name: str = "embedded",
) -> Any:
    """Train one SAE and return its trainer, biases scaled back to the model's own activations.

    Args:
        recipe: of the SAE.
        data: (N, D) activations.
        steps, batch_size: optimiser steps, and tokens of each.
        scale: what activations are divided by.
        log: takes an entry every 250 steps.
        snapshots: how many are written while it trains, and the folder they go to.
        d_sae: latents.
        layer, lm_name: what its configuration says of where it sits.
    """
    sys.modules.setdefault("nnsight", types.ModuleType("nnsight"))  # imported by a buffer that is not used here
    sys.modules["nnsight"].LanguageModel = object  # type: ignore[attr-defined]
    module = importlib.import_module(f"dictionary_learning.trainers.{TRAINER_MODULES[recipe.trainer]}")
    cls = getattr(module, recipe.trainer)
    torch.manual_seed(SEED)
    trainer = cls(
        steps=steps, activation_dim=data.shape[1], dict_size=d_sae, layer=layer, lm_name=lm_name, device="cpu",
        seed=SEED, submodule_name=f"resid_post_layer_{layer}", **recipe.settings,
    )  # fmt: skip
    if hasattr(trainer.ae, "bias"):  # the default biases are larger than any pre-activation: a third would never fire
        with torch.no_grad():
            trainer.ae.bias.copy_(torch.from_numpy(data[:100_000].astype(np.float32)).mean(0) / scale)
            trainer.ae.encoder.bias.zero_()
    start = time.time()
    for step, x in enumerate(batches(data, batch_size, steps, scale)):
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.name != "jumprelu"):
            trainer.update(step, x)
        if step + 1 in snapshot_steps(steps, snapshots[0]):
            save_snapshot(trainer, snapshots[1], tokens=(step + 1) * batch_size, scale=scale)
        if step % 25 == 0:
            with torch.no_grad():
                l0 = (trainer.ae.encode(x) != 0).float().sum(-1).mean().item()
            if recipe.steered and step > recipe.settings["sparsity_warmup_steps"] // 2:
                error = max(-0.5, min(0.5, math.log(max(l0, 1.0) / recipe.target_l0)))
                setattr(trainer, recipe.steered, getattr(trainer, recipe.steered) * math.exp(0.3 * error))
        if step % 250 == 0 or step == steps - 1:
            entry = {"sae": recipe.name, "step": step, **evaluate(trainer.ae, x), "seconds": round(time.time() - start)}
            if recipe.steered:
                entry[recipe.steered] = getattr(trainer, recipe.steered)
            log.append(entry)
            logger.info("%s", entry)
    trainer.ae.scale_biases(scale)
    if recipe.refit_decoder:
        refit_decoder(trainer.ae, torch.from_numpy(data[:200_000].astype(np.float32)))
    return trainer


@torch.no_grad()
def refit_decoder(ae: Any, x: Tensor, ridge: float = 1e-4) -> None:
    """Least-squares decoder for the codes the encoder gives on x (N, D); latents that never fire keep their row."""
    d_sae = ae.decoder.weight.shape[1]
    gram_FF = torch.zeros(d_sae, d_sae)
    target_FD = torch.zeros(d_sae, x.shape[1])
    for batch in x.split(8192):
        code = ae.encode(batch)
        gram_FF += code.T @ code
        target_FD += code.T @ (batch - ae.bias)
    alive = gram_FF.diagonal() > 0
    gram_FF += ridge * gram_FF.diagonal().mean() * torch.eye(d_sae)
    fitted_FD = torch.linalg.solve(gram_FF, target_FD)
    ae.decoder.weight[:, alive] = fitted_FD.T[:, alive]


@torch.no_grad()
def evaluate(ae: Any, x: Tensor) -> dict[str, float]:
    """Explained variance, L0 and share of dead latents of a dictionary_learning autoencoder on x (N, D)."""
    total = residual = l0 = 0.0
    mean = x.mean(0)
    fired = torch.zeros((), dtype=torch.bool)
    for batch in x.split(8192):
        code = ae.encode(batch)
        residual += (batch - ae.decode(code)).pow(2).sum().item()
        total += (batch - mean).pow(2).sum().item()
        l0 += (code != 0).sum().item()
        fired = fired | (code != 0).any(0)
    return {
        "explained_variance": round(1 - residual / total, 4),
        "l0": round(l0 / len(x), 2),
        "dead": round(1 - fired.float().mean().item(), 4),
    }


def save(ae: Any, config: dict[str, Any], folder: Path) -> None:
    """Write ae.pt and config.json as dictionary_learning does."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({k: v.cpu() for k, v in ae.state_dict().items()}, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": as_plain(config)}, indent=1))


def save_snapshot(trainer: Any, folder: Path, *, tokens: int, scale: float) -> None:
    """Write an SAE that is still being trained as `<tokens>.safetensors`, its configuration says after how many tokens.

    Args:
        trainer: of the SAE; it is left as it is.
        folder: of the snapshots.
        tokens: that it was trained on so far.
        scale: what its activations are divided by.
    """
    ae = copy.deepcopy(trainer.ae)
    ae.scale_biases(scale)
    with tempfile.TemporaryDirectory() as work:
        save(ae, trainer.config, Path(work))
        (handle,) = resolve_spec(f"dictionary_learning:{work}")
        sae: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
    sae.cfg = replace(sae.cfg, training_tokens=tokens)
    save_sae(sae, folder / f"{tokens}.safetensors", dtype=torch.float16, metadata=as_plain(trainer.config))


def as_plain(config: dict[str, Any]) -> dict[str, Any]:
    """A trainer's configuration as JSON holds it."""
    plain: dict[str, Any] = json.loads(json.dumps(config, default=float))
    return plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".work/saes"), help="folder for activations and checkpoints")
    parser.add_argument("--model", default="embedded", help="whose residual stream is read")
    parser.add_argument("--layer", type=int, default=LAYER, help="after which it is read")
    parser.add_argument("--d-sae", type=int, default=D_SAE, help="latents")
    parser.add_argument("--tokens", type=int, default=2_099_200, help="distinct training tokens")
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps")
    parser.add_argument("--batch-size", type=int, default=2048, help="tokens per step")
    parser.add_argument("--only", nargs="*", default=[], help="architectures to train; all by default")
    parser.add_argument("--snapshots", type=int, default=0, help="how often each SAE is written while it trains")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.work.mkdir(parents=True, exist_ok=True)

    lm = load_language_model(args.model, dtype="bfloat16")
    data = collect(lm, "train", args.tokens, args.work / "train.npy", args.layer)
    other = collect(lm, "held_out", min(102_400, args.tokens), args.work / "held_out.npy", args.layer)
    held_out = torch.from_numpy(other.astype(np.float32))
    scale = float(np.sqrt(np.mean(np.sum(data[:100_000].astype(np.float32) ** 2, axis=1))))
    log: list[dict] = []
    for recipe in recipes(args.steps):
        if args.only and recipe.name not in args.only:
            continue
        trainer = train(
            recipe, data, steps=args.steps, batch_size=args.batch_size, scale=scale, log=log,
            snapshots=(args.snapshots, args.work / f"{recipe.name}_snapshots"),
            d_sae=args.d_sae, layer=args.layer, lm_name=lm.name,
        )  # fmt: skip
        save(trainer.ae, trainer.config, args.work / recipe.name)
        log.append({"sae": recipe.name, "held_out": evaluate(trainer.ae, held_out)})
        logger.info("%s", log[-1])
        with (args.work / "log.jsonl").open("a") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in log)
        log.clear()


if __name__ == "__main__":
    main()
