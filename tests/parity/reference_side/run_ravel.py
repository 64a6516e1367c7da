"""The published ravel eval on given prompts and pairs: completions, given masks, trained masks; one JSON file.

Replaced: where model, tokenizer, SAEs and pairs come from. Repaired: hooks see tuples where layers return tensors, any
architecture's layers are found, and the entity's position is the given one (it would be counted from the end of the
template). Completing, training, intervening and scoring are the published code.
"""

from __future__ import annotations

import argparse
import random
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import adapters
import harness
import torch

Pairs = Sequence[Sequence[int]]


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    given = harness.read_json(args.prompts)
    watch = harness.Stopwatch()
    with adapters.threads(args.threads) as n_threads, harness.output_to(None if args.verbose else log_of(args.out)):
        with watch.measure("model_load"):
            model = adapters.load_hf_model(args.model, adapters.as_dtype(args.dtype)).to(args.device)
        tokenizer = adapters.load_tokenizer(args.model)
        find_layers(model)
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        with watch.measure("completions"):
            report["completions"] = completions(model, tokenizer, given)
        report["rules"] = [
            harness.reference("evals.ravel.validation").evaluate_completion(text, value, said)
            for text, value, said in given["rules"]
        ]
        report |= watch.take()
        saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
        report["saes"] = {name: run_sae(args, watch, model, tokenizer, sae, given) for name, sae in saes.items()}
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for result in report["saes"].values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def run_sae(
    args: argparse.Namespace, watch: harness.Stopwatch, model: Any, tokenizer: Any, sae: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Scores of one SAE: under each given mask, then under the masks that the published code trains."""
    result: dict[str, Any] = {"seeds": {}}
    try:
        for seed, split in given["seeds"].items():
            random.seed(int(seed))
            torch.manual_seed(int(seed))
            found: dict[str, Any] = {}
            if args.given_masks:
                found["given"] = {
                    name: score(args, model, tokenizer, sae, given, split, latents)
                    for name, latents in given["masks"].items()
                }
            with watch.measure("train_and_score"):
                found["trained"] = score(args, model, tokenizer, sae, given, split, None)
            result["seeds"][seed] = found | watch.take()
    except Exception:
        result["error"] = traceback.format_exc()
    return result


def score(
    args: argparse.Namespace, model: Any, tokenizer: Any, sae: Any, given: Mapping[str, Any],
    split: Mapping[str, Pairs], latents: Sequence[int] | None,
) -> dict[str, Any]:  # fmt: skip
    """Cause and isolation of the test pairs; `latents` None trains the mask on the training pairs."""
    mdbm, main_module = harness.reference("evals.ravel.mdbm"), harness.reference("evals.ravel.main")
    config = harness.reference("evals.ravel.eval_config").RAVELEvalConfig(
        model_name=str(args.model), llm_batch_size=given["pairs_per_step"], num_epochs=given["num_epochs"],
        learning_rate=given["learning_rate"], n_generated_tokens=given["n_tokens"],
    )  # fmt: skip
    train, test = (
        main_module.create_dataloader_from_pairs([formatted(given, pair) for pair in split[part]], model, config)
        for part in ("train", "test")
    )
    if latents is None:
        mask = mdbm.train_mdbm(model, tokenizer, config, sae, train_loader=train, val_loader=test, verbose=False)
    else:
        mask = mdbm.MDBM(model, tokenizer, config, sae)
        with torch.no_grad():
            mask.binary_mask[latents] = 1.0
    intervention = harness.reference("evals.ravel.intervention")
    isolation, cause = intervention.generate_batched_interventions(
        model, mask, tokenizer, test, max_new_tokens=given["n_tokens"]
    )
    chosen = (mask.binary_mask > 0).nonzero()[:, 0].tolist()
    return {"cause": cause, "isolation": isolation, "chosen": chosen}


def formatted(given: Mapping[str, Any], pair: Sequence[int]) -> tuple[Any, ...]:
    """A pair in the order of fields that the published data loader takes."""
    base, source, is_cause = given["prompts"][pair[0]], given["prompts"][pair[1]], pair[2]
    wanted = source if is_cause else base
    return (
        base["ids"], source["ids"], None, None,
        base["position"] - len(base["ids"]), source["position"] - len(source["ids"]),
        base["first_token"], wanted["first_token"], base["text"], wanted["value"],
    )  # fmt: skip


def completions(model: Any, tokenizer: Any, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the model writes after each prompt, and whether it counts as right."""
    validation = harness.reference("evals.ravel.validation")
    said, first = harness.reference("evals.ravel.generation").generate_batched(
        model, tokenizer, [question["ids"] for question in given["asked"]], max_new_tokens=given["n_tokens"],
        llm_batch_size=32, return_first_generated_token=True,
    )  # fmt: skip
    return [
        {
            "text": text,
            "first_token": token,
            "correct": validation.evaluate_completion(question["text"], question["value"], text),
        }
        for question, text, token in zip(given["asked"], said, first, strict=True)
    ]


def find_layers(model: Any) -> None:
    """Layers of any Llama-like model, their hooks seeing tuples as in the versions that the published code is for."""

    def module(_model: Any, layer: int) -> Any:
        of = model.model.layers[layer]

        def register(hook: Any) -> Any:
            def adapted(target: Any, inputs: Any, output: Any) -> Any:
                if isinstance(output, tuple):
                    return hook(target, inputs, output)
                return hook(target, inputs, (output,))[0]

            return of.register_forward_hook(adapted)

        return SimpleNamespace(register_forward_hook=register)

    harness.reference("sae_bench_utils.activation_collection").get_module = module


def log_of(path: Path) -> Path:
    return path.with_suffix(".log")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(__doc__ or "")
    harness.add_sae_arguments(parser)
    parser.add_argument("--prompts", type=Path, required=True, help="ravel.json: prompts, pairs, masks, settings")
    parser.add_argument("--given-masks", action="store_true", help="score the given masks too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
