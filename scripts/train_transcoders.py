"""Train a transcoder and a skip transcoder of one MLP in minutes, and write them as circuit-tracer reads them.

    python scripts/train_transcoders.py --model embedded --layer 10 --out .work/transcoders
    sae-bench run --model embedded --sae path:.work/transcoders/plain --sae path:.work/transcoders/skip --evals all

They read what the MLP reads after its norm (`mlp.hook_in`) and predict what joins the residual stream
(`hook_mlp_out`). While they train, the largest pre-activations of a batch are kept, k per token on average; what the
smallest of them are is the threshold of the JumpReLU that is written. Reads the `train` part of the embedded corpus;
the share of variance explained and L0 in the log are measured on the `held_out` part.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from sae_bench.datasets.embedded import corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.language_models import LanguageModel, load_language_model

logger = logging.getLogger("train_transcoders")

CONTEXT = 128
READ, WRITTEN = "mlp.hook_in", "hook_mlp_out"


@dataclass(frozen=True)
class Sizes:
    """How large a transcoder is and how long it trains.

    Attributes:
        width: latents.
        k: latents that are active on a token, on average.
        steps, batch_size: optimiser steps, and tokens of each.
        seed: of the weights and of the order of tokens.
    """

    width: int
    k: int
    steps: int
    batch_size: int = 1024
    learning_rate: float = 2e-3
    seed: int = 0


@torch.no_grad()
def collect(lm: LanguageModel, split: str, layer: int, tokens: int) -> tuple[Tensor, Tensor]:
    """What the MLP of a layer reads and what it adds to the stream, (N, D) each, special tokens left out."""
    rows_RL = pack_corpus(corpus(split), lm, n_rows=tokens // CONTEXT, context_length=CONTEXT)
    names = [f"blocks.{layer}.{READ}", f"blocks.{layer}.{WRITTEN}"]
    read, written = [], []
    for ids_BL in rows_RL.split(16):
        values = lm.capture(ids_BL, names)
        valid_BL = lm.is_read(ids_BL)
        read.append(values[names[0]][valid_BL].float())
        written.append(values[names[1]][valid_BL].float())
    return torch.cat(read), torch.cat(written)


def train(x_ND: Tensor, y_NO: Tensor, sizes: Sizes, *, skip: bool) -> dict[str, Tensor]:
    """The tensors of a transcoder from x to y, as circuit-tracer names them.

    Args:
        x_ND, y_NO: what is read and what is predicted.
        skip: whether an affine path goes beside the latents.
    """
    generator = torch.Generator().manual_seed(sizes.seed)
    scale_x, scale_y = _scale(x_ND), _scale(y_NO)
    enc_FD = torch.randn(sizes.width, x_ND.shape[1], generator=generator)
    enc_FD /= enc_FD.norm(dim=1, keepdim=True)
    dec_FO = torch.randn(sizes.width, y_NO.shape[1], generator=generator) * 0.1 / sizes.k**0.5
    skip_OD = torch.zeros(y_NO.shape[1], x_ND.shape[1])
    b_enc_F, b_dec_O = torch.zeros(sizes.width), y_NO.mean(dim=0) / scale_y
    weights = [enc_FD, b_enc_F, dec_FO, b_dec_O, *([skip_OD] if skip else [])]
    optimiser = torch.optim.Adam([value.requires_grad_() for value in weights], lr=sizes.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, 5 * (1 - step / sizes.steps)))
    threshold = 0.0
    for step, rows_B in enumerate(_batches(len(x_ND), sizes, generator)):
        x_BD, y_BO = x_ND[rows_B] / scale_x, y_NO[rows_B] / scale_y
        pre_BF = torch.relu(x_BD @ enc_FD.T + b_enc_F)
        smallest = float(pre_BF.detach().flatten().topk(sizes.k * len(rows_B)).values[-1])
        threshold = smallest if step < 10 else 0.98 * threshold + 0.02 * smallest
        codes_BF = torch.where(pre_BF >= smallest, pre_BF, 0)
        predicted_BO = codes_BF @ dec_FO + b_dec_O
        if skip:
            predicted_BO = predicted_BO + x_BD @ skip_OD.T
        loss = (predicted_BO - y_BO).pow(2).sum(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == sizes.steps - 1:
            logger.info("step %d: squared error %.4f of %d", step, float(loss.detach()), y_NO.shape[1])
    tensors = {
        "W_enc": enc_FD / scale_x,
        "b_enc": b_enc_F,
        "W_dec": dec_FO * scale_y,
        "b_dec": b_dec_O * scale_y,
        "activation_function.threshold": torch.full((sizes.width,), threshold),
    }
    if skip:
        tensors["W_skip"] = skip_OD * (scale_y / scale_x)
    return {name: value.detach().contiguous() for name, value in tensors.items()}


@torch.no_grad()
def measure(tensors: dict[str, Tensor], x_ND: Tensor, y_NO: Tensor) -> dict[str, float]:
    """Share of the variance of y that is explained, L0, and the share of latents that never fire."""
    pre_NF = x_ND @ tensors["W_enc"].T + tensors["b_enc"]
    codes_NF = torch.where(pre_NF > tensors["activation_function.threshold"], pre_NF.relu(), 0)
    predicted_NO = codes_NF @ tensors["W_dec"] + tensors["b_dec"]
    if "W_skip" in tensors:
        predicted_NO = predicted_NO + x_ND @ tensors["W_skip"].T
    unexplained = (y_NO - predicted_NO).pow(2).sum() / (y_NO - y_NO.mean(dim=0)).pow(2).sum()
    active_NF = codes_NF != 0
    return {
        "explained_variance": round(float(1 - unexplained), 4),
        "l0": round(float(active_NF.sum(dim=1).float().mean()), 1),
        "dead": round(float((~active_NF.any(dim=0)).float().mean()), 4),
    }


def write(tensors: dict[str, Tensor], folder: Path, *, model_name: str, layer: int) -> None:
    """A set of one layer: `config.yaml` and `layer_<L>.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"layer_{layer}.safetensors")
    config = {
        "model_kind": "transcoder_set",
        "model_name": model_name,
        "feature_input_hook": READ,
        "feature_output_hook": WRITTEN,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _scale(x_ND: Tensor) -> float:
    """What makes the mean square of a token's entries 1."""
    return float(x_ND.pow(2).mean().sqrt())


def _batches(n_tokens: int, sizes: Sizes, generator: torch.Generator) -> Iterator[Tensor]:
    """The tokens of each step: in an order of their own each time that all were read."""
    order_N = torch.empty(0, dtype=torch.long)
    for _ in range(sizes.steps):
        if len(order_N) < sizes.batch_size:
            order_N = torch.cat([order_N, torch.randperm(n_tokens, generator=generator)])
        rows_B, order_N = order_N.split([sizes.batch_size, len(order_N) - sizes.batch_size])
        yield rows_B


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="hub id, directory, .gguf file or alias")
    parser.add_argument("--layer", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=40_000, help="distinct training tokens")
    parser.add_argument("--width", type=int, default=1536, help="latents")
    parser.add_argument("--k", type=int, default=32, help="latents that are active on a token, on average")
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps of 1024 tokens")
    parser.add_argument("--out", type=Path, default=Path(".work/transcoders"), help="gets a folder for each of the two")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    lm = load_language_model(args.model, dtype="float32")
    x_ND, y_NO = collect(lm, "train", args.layer, args.tokens)
    held_out = collect(lm, "held_out", args.layer, max(CONTEXT, args.tokens // 8))
    logger.info("%d tokens for training, %d held out", len(x_ND), len(held_out[0]))
    for name, skip in (("plain", False), ("skip", True)):
        tensors = train(x_ND, y_NO, Sizes(args.width, args.k, args.steps), skip=skip)
        write(tensors, args.out / name, model_name=args.model, layer=args.layer)
        logger.info("%s: %s", name, measure(tensors, *held_out))


if __name__ == "__main__":
    main()
