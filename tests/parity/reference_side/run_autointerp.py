"""Examples of latents, and what gathering them takes, by the published autointerp code.

Only the data are gathered: no judge is asked. Names that the published code calls are wrapped to record what they
return. With `--float32` activations are not rounded to bfloat16 before examples are chosen.

Shapes: N rows, L tokens.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import adapters
import harness
import torch
from safetensors.torch import load_file
from torch import Tensor


def main(argv: list[str] | None = None) -> None:
    """Gather the examples of every SAE."""
    args = parse(argv)
    harness.require_reference()
    harness.start_logging()
    torch.set_grad_enabled(False)
    meta = harness.read_json(args.meta)
    with adapters.threads(args.threads), harness.output_to(None if args.verbose else args.out.with_suffix(".log")):
        model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, meta)
        tokens_NL = load_file(str(args.tokens))["tokens"][: args.rows]
        saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
        results = {name: gather(args, model, sae, tokens_NL) for name, sae in saes.items()}
    harness.write_json(
        args.out,
        {"versions": harness.versions(), "saes": results, "threads": torch.get_num_threads(),
         "peak_rss_mb": harness.peak_rss_mb()},
    )  # fmt: skip


def gather(args: argparse.Namespace, model: Any, sae: Any, tokens_NL: Tensor) -> dict[str, Any]:
    """Densities, then the examples of the latents."""
    module = harness.reference("evals.autointerp.main")
    collection = harness.reference("sae_bench_utils.activation_collection")
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    config = harness.reference("evals.autointerp.eval_config").AutoInterpEvalConfig(
        model_name=args.model.name,
        n_latents=None if args.latents else args.n_latents,
        override_latents=list(range(args.latents)) if args.latents else None,
        total_tokens=tokens_NL.numel(),
        llm_batch_size=args.batch_size,
        llm_dtype=args.dtype,
    )
    watch = harness.Stopwatch()
    layer, hook = sae.cfg.hook_layer, sae.cfg.hook_name
    with watch.measure("density"):
        sparsity_F = collection.get_feature_activation_sparsity(
            tokens_NL, model, sae, args.batch_size, layer, hook, mask_bos_pad_eos_tokens=True
        )
    records: list[dict[str, Any]] = []
    restore = record(module, collection, records, float32=args.float32) if args.latents else {}
    try:
        with watch.measure("examples"):
            eval_of_sae = module.AutoInterp(config, model, sae, tokens_NL, sparsity_F, args.device, "no key")
            generation, scoring = eval_of_sae.gather_data()
    finally:
        for (owner, name), original in restore.items():
            setattr(owner, name, original)
    times = watch.take()
    harness.logger.info("%s: %s", sae.cfg.hook_name, times["seconds"])
    found: dict[str, Any] = {}
    if args.latents:
        found = {str(k): describe(k, records[k], generation, scoring) for k in eval_of_sae.latents}
    return {"latents": found, "n_latents": len(eval_of_sae.latents), "with_examples": len(generation), **times}


def record(module: Any, collection: Any, records: list[dict[str, Any]], *, float32: bool) -> dict[tuple[Any, str], Any]:
    """Wrap the published functions that choose examples; returns what to put back."""
    originals = {
        (module, "get_k_largest_indices"): module.get_k_largest_indices,
        (module, "get_iw_sample_indices"): module.get_iw_sample_indices,
        (collection, "collect_sae_activations"): collection.collect_sae_activations,
    }
    largest, sampled, collected = originals.values()

    @wraps(largest)
    def top(x_NL: Tensor, **options: Any) -> Tensor:
        indices = largest(x_NL, **options)
        values = x_NL[indices[:, 0], indices[:, 1]]
        records.append({"top": indices.tolist(), "top_values": values.float().tolist(), "drawn": [], "pool": []})
        return indices

    @wraps(sampled)
    def drawn(x_NL: Tensor, **options: Any) -> Tensor:
        indices = sampled(x_NL, **options)
        buffer = options["buffer"]
        row, column = (x_NL[:, buffer:-buffer] > 0).nonzero().unbind(dim=1)
        records[-1]["drawn"] = indices.tolist()
        records[-1]["pool"] = (row * x_NL.shape[1] + column + buffer).tolist()
        return indices

    @wraps(collected)
    def exact(*arguments: Any, **options: Any) -> Tensor:
        return collected(*arguments, **{**options, "activation_dtype": None if float32 else torch.bfloat16})

    module.get_k_largest_indices = top
    module.get_iw_sample_indices = drawn
    collection.collect_sae_activations = exact
    return originals


def describe(
    latent: int, chosen: Mapping[str, Any], generation: Mapping[int, Any], scoring: Mapping[int, Any]
) -> dict[str, Any]:
    """What the two sides compare of one latent; texts by the tokens of their window."""
    if latent not in generation:
        return {**chosen, "with_examples": False}
    shown = [*generation[latent], *scoring[latent]]
    return {
        **chosen,
        "with_examples": True,
        "n_generation": len(generation[latent]),
        "n_scoring": len(scoring[latent]),
        "threshold": shown[0].act_threshold,
        "texts": [[example.toks, example.to_str(mark_toks=True)] for example in generation[latent]],
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--tokens", type=Path, required=True, help="safetensors file with `tokens`")
    parser.add_argument("--rows", type=int, default=96, help="rows that are read")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--latents", type=int, default=0, help="the first so many; not given: drawn from the live ones")
    parser.add_argument("--n-latents", type=int, default=1000, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--float32", action="store_true", help="do not round activations to bfloat16")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
