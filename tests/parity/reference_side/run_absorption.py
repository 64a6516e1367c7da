"""The published absorption eval on given words, prompts, splits and SAEs, for several seeds; one JSON file.

The fraction as it was defined before 0.6.0 is computed beside the published one, from the published probes, latents
and activations. Everything else that computes a number is the published code.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import adapters
import harness
import torch
from torch import Tensor


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    args.out = args.out.resolve()
    harness.start_logging()
    harness.require_reference()
    words = harness.read_json(args.words)
    watch = harness.Stopwatch()
    saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, harness.read_json(args.meta))
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        adapters.patch_model_loading(model)
        if args.remember:
            remember(model, words["hook_layer"] + 1)
        give_words(words)
        older = OlderFraction()
        attach(watch)
        report["seeds"] = {}
        for seed in args.seeds:
            give_splits(words, seed)
            torch.manual_seed(seed)
            report["seeds"][str(seed)] = evaluate(args, watch, saes, seed, older)
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for of in report["seeds"].values() for result in of.values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def module(name: str) -> Any:
    return harness.reference(f"evals.absorption.{name}")


# ---- where data comes in


def give_words(words: Mapping[str, Any]) -> None:
    """The vocabulary, and the prompt of every word."""
    given = list(words["words"])
    text_of = dict(zip(given, words["prompts"], strict=True))
    for name in ("common", "feature_absorption"):
        module(name).get_alpha_tokens = lambda _tokenizer: given
    calculator = module("feature_absorption_calculator").FeatureAbsorptionCalculator
    calculator._build_prompts = lambda _self, asked: [prompt_of(word, text_of) for word in asked]


def give_splits(words: Mapping[str, Any], seed: int) -> None:
    """Training and test words of a seed."""
    given = list(words["words"])
    text_of = dict(zip(given, words["prompts"], strict=True))

    def dataset(places: Sequence[int]) -> list[tuple[Any, int]]:
        return [(prompt_of(given[p], text_of), ord(given[p].strip()[0].lower()) - ord("a")) for p in places]

    split = words["splits"][str(seed)]
    module("common").create_dataset_probe_training = lambda **_settings: (
        dataset(split["train"]),
        dataset(split["test"]),
    )


def prompt_of(word: str, text_of: Mapping[str, str]) -> Any:
    return module("prompting").SpellingPrompt(base=text_of[word], answer=f" {word.strip()[0].upper()}", word=word)


def remember(model: Any, n_layers: int) -> None:
    """Run every prompt once and stop after the layer that is read; the last tokens' values serve all later calls."""
    compute, kept = model.run_with_cache, {}
    n_last = 8

    def run_with_cache(prompts: list[str], names_filter: list[str]) -> tuple[None, dict[str, Tensor]]:
        (hook,) = names_filter
        missing = [prompt for prompt in prompts if prompt not in kept]
        if missing:
            _, cache = compute(missing, names_filter=names_filter, stop_at_layer=n_layers)
            kept.update(zip(missing, cache[hook][:, -n_last:].clone(), strict=True))
        return None, {hook: torch.stack([kept[prompt] for prompt in prompts])}

    model.run_with_cache = run_with_cache


class OlderFraction:
    """For every word that is scored, the absorption fraction as published before 0.6.0: no thresholds."""

    def __init__(self) -> None:
        self.by_letter: dict[str, list[float]] = {}
        calculator = module("feature_absorption_calculator").FeatureAbsorptionCalculator
        compute = calculator.calculate_absorption

        def calculate_absorption(
            self_: Any, sae: Any, words: list[str], probe_direction: Tensor, main_feature_ids: list[int], **rest: Any
        ) -> Any:
            results = compute(self_, sae, words, probe_direction, main_feature_ids, **rest)
            if words:
                letter = words[0].strip()[0].lower()
                values = self._fractions(self_, sae, results, probe_direction, main_feature_ids, rest["layer"])
                self.by_letter[letter] = values
            return results

        calculator.calculate_absorption = calculate_absorption

    @torch.no_grad()
    def _fractions(
        self, calculator: Any, sae: Any, results: Any, probe_D: Tensor, own: list[int], layer: int
    ) -> list[float]:
        hook = f"blocks.{layer}.hook_resid_post"
        prompts = [word.prompt for word in results.word_results]
        cache = calculator.model.run_with_cache(prompts, names_filter=[hook])[1]
        x_ND = cache[hook][:, calculator.word_token_pos]
        unit_FD = sae.W_dec / sae.W_dec.norm(dim=1, keepdim=True)
        shares_NF = sae.encode(x_ND) * (unit_FD @ (probe_D / probe_D.norm()).to(unit_FD))
        own_N, all_N = shares_NF[:, own].sum(dim=1), shares_NF.sum(dim=1)
        projection_N = torch.tensor([word.probe_projection for word in results.word_results]).to(own_N)
        fraction_N = ((all_N - own_N) / all_N).clamp(0.0, 1.0)
        return fraction_N.masked_fill((own_N >= projection_N) | (all_N <= 0), 0.0).tolist()


def attach(watch: harness.Stopwatch) -> None:
    """Book the LM pass and the letter probes on phases of their own; the rest of the total is paid for every SAE."""
    watch.attach(module("common"), "gen_and_save_df_acts_probing", "lm_pass")
    watch.attach(module("common"), "train_linear_probe_for_task", "lm_probes")
    watch.attach(module("main"), "run_k_sparse_probing_experiment", "k_sparse_and_shared")
    watch.attach(module("main"), "run_feature_absortion_experiment", "absorption")


# ---- running


def evaluate(
    args: argparse.Namespace, watch: harness.Stopwatch, saes: Mapping[str, Any], seed: int, older: OlderFraction
) -> dict[str, Any]:
    """SAE -> the reference's result with one seed; `after` is what every SAE costs."""
    published = {
        name: getattr(module("main"), name)
        for name in ("run_k_sparse_probing_experiment", "run_feature_absortion_experiment")
    }
    results: dict[str, Any] = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes into `artifacts` where it stands
        work = Path(folder)
        (work / "results").mkdir()
        first, second = published.values()
        module("main").run_k_sparse_probing_experiment = functools.partial(
            first, experiment_dir=work / "k", probes_dir=work / "probes"
        )
        module("main").run_feature_absortion_experiment = functools.partial(
            second,
            experiment_dir=work / "absorption",
            sparse_probing_experiment_dir=work / "k",
            probes_dir=work / "probes",
        )
        try:
            for name, sae in saes.items():
                results[name] = evaluate_one(args, watch, name, sae, seed, older)
        finally:
            os.chdir(before)
            for attribute, function in published.items():
                setattr(module("main"), attribute, function)
    return results


def evaluate_one(
    args: argparse.Namespace, watch: harness.Stopwatch, name: str, sae: Any, seed: int, older: OlderFraction
) -> dict[str, Any]:
    config = module("eval_config").AbsorptionEvalConfig(
        model_name=args.model.name,
        random_seed=seed,
        llm_batch_size=10,
        llm_dtype=args.dtype,
        min_GT_probe_f1=0.0,
        min_feats_for_eval=1,
        k_sparse_probe_batch_size=args.step,
        precalc_k_sparse_probe_sae_acts=args.precalculate,
    )
    older.by_letter.clear()
    try:
        with watch.measure("total"):
            returned = module("main").run_eval(config, [(name, sae)], args.device, "results", force_rerun=False)
        harness.keep_results(Path("results"), args.out)
        result = next(iter(returned.values()))
        counted = {row["first_letter"] for row in result["eval_result_details"]}
        fractions = {letter: sum(v) / len(v) for letter, v in older.by_letter.items() if letter in counted}
        outcome: dict[str, Any] = {
            "metrics": result["eval_result_metrics"]["mean"]
            | {"older_absorption_fraction_score": sum(fractions.values()) / len(fractions)},
            "details": result["eval_result_details"],
            "older_fractions": fractions,
        }
    except Exception:
        outcome = {"error": traceback.format_exc()}
    times = watch.take()
    for of in times.values():
        shared = of.get("lm_pass", 0.0) + of.get("lm_probes", 0.0)
        of["after"] = round(of.get("k_sparse_and_shared", 0.0) + of.get("absorption", 0.0) - shared, 3)
    harness.logger.info("absorption seed %d %s: %s", seed, name, times["seconds"])
    return outcome | times | {"peak_rss_mb": harness.peak_rss_mb()}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--words", type=Path, required=True, help="words, prompts, splits by seed, layer")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument(
        "--remember", action="store_true", help="every prompt through the model once, to the layer read"
    )
    parser.add_argument("--precalculate", action="store_true", help="its own setting: codes of training words once")
    parser.add_argument("--step", type=int, default=4096, help="its own setting: batch of the probe that ranks latents")
    args = parser.parse_args(argv)
    args.model, args.sae_dir, args.meta = args.model.resolve(), args.sae_dir.resolve(), args.meta.resolve()
    return args


if __name__ == "__main__":
    main()
