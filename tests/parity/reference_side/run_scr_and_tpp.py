"""The published scr or tpp eval on given texts and SAEs, for several seeds; one JSON file.

Codes of padding are set to zero before the ablated activations are pooled, which the published code leaves out
(--leak-seeds also runs it as it is). Everything else that computes a number is the published code.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import adapters
import harness

ALIAS = "bias_in_bios"
"""What the two-attribute set is called here: the published code refuses other names."""


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    meta, texts = harness.read_json(args.meta), harness.read_json(args.texts)
    watch = harness.Stopwatch()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, meta)
        report: dict[str, Any] = {
            "eval": args.eval,
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        adapters.patch_model_loading(model)
        if args.eval == "scr":
            give_quadrants(texts, meta)
        else:
            adapters.patch_sparse_probing(texts, meta)
            module().COLUMN2_VALS_LOOKUP.update(dict.fromkeys(texts, ("first", "second")))  # read, and not used
        remember_activations()
        clean = remember_clean_accuracies()
        attach(watch)
        report |= run_seeds(args, watch, texts, clean)
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for saes in report["seeds"].values() for result in saes.values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def module() -> Any:
    return harness.reference("evals.scr_and_tpp.main")


# ---- where data comes in, and the one repair


def give_quadrants(texts: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """The published selection of texts reads these rows: token ids with a class and a value of the second attribute."""
    creation = harness.reference("evals.scr_and_tpp.dataset_creation")
    info, utils = (harness.reference(f"sae_bench_utils.dataset_{part}") for part in ("info", "utils"))
    creation.load_dataset = lambda _name: {split: texts[split] for split in ("train", "test")}
    info.dataset_metadata[ALIAS] = {
        "text_column_name": "ids",
        "column1_name": "class",
        "column2_name": "attribute",
        "column1_mapping": {name: name for pair in texts["pairs"] for name in pair},
        "column2_mapping": {value: value for value in texts["attribute"]},
    }
    module().COLUMN2_VALS_LOOKUP[ALIAS] = tuple(texts["attribute"])
    utils.tokenize_data_dictionary = lambda data, _tokenizer, max_length, device: {
        key: adapters.pad_right(rows, max_length, int(meta["pad_id"]), device) for key, rows in data.items()
    }


class MaskedCodes:
    """An SAE whose codes are zero where the activation is: positions that the published code has masked out."""

    def __init__(self, sae: Any) -> None:
        self.sae = sae
        self.decode = sae.decode

    def encode(self, x_BLD: Any) -> Any:
        return self.sae.encode(x_BLD) * (x_BLD.sum(dim=-1, keepdim=True) != 0.0).to(x_BLD.dtype)


def masked(ablate: Callable[..., Any]) -> Callable[..., Any]:
    """`ablated_precomputed_activations` without what latents that fire on zero vectors add."""

    def ablated(acts_BLD: Any, sae: Any, *rest: Any) -> Any:
        return ablate(acts_BLD, MaskedCodes(sae), *rest)

    return ablated


def remember_activations() -> None:
    """Let later seeds read the language model's activations of the first; everything that is drawn is drawn anew."""
    compute = module().get_dataset_activations
    kept: dict[Any, Any] = {}

    def get_dataset_activations(
        dataset_name: str, config: Any, model: Any, batch: int, layer: int, hook: str, device: str, classes: Any,
        column1_vals: Any = None, column2_vals: Any = None,
    ) -> Any:  # fmt: skip
        key = (dataset_name, hook, column1_vals)
        if key not in kept:
            kept[key] = compute(
                dataset_name, config, model, batch, layer, hook, device, classes, column1_vals, column2_vals
            )
        return kept[key]

    module().get_dataset_activations = get_dataset_activations


def remember_clean_accuracies() -> list[dict[str, float]]:
    """What the probes reach without ablation, data set by data set, which the published results leave out."""
    compute, seen = module().run_eval_single_dataset, []

    def run_eval_single_dataset(*args: Any, **kwargs: Any) -> Any:
        ablated, clean = compute(*args, **kwargs)
        seen.append(clean)
        return ablated, clean

    module().run_eval_single_dataset = run_eval_single_dataset
    return seen


def attach(watch: harness.Stopwatch) -> None:
    """Book the LM pass, the probes and what every SAE costs on phases of their own."""
    watch.attach(module(), "get_dataset_activations", "lm_pass")
    watch.attach(harness.reference("evals.sparse_probing.probe_training"), "train_probe_on_activations", "lm_probes")
    watch.attach(module(), "get_all_node_effects_for_one_sae", "effects")
    watch.attach(module(), "perform_feature_ablations", "ablations")


# ---- running


def run_seeds(
    args: argparse.Namespace, watch: harness.Stopwatch, texts: Mapping[str, Any], clean: list[dict[str, float]]
) -> dict[str, Any]:
    """Seed -> SAE -> results with the mask repaired, and as published for the seeds of --leak-seeds."""
    saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
    published = module().ablated_precomputed_activations
    repaired = masked(published)
    results: dict[str, Any] = {"seeds": {}, "leaking": {}}
    args.work_dir.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        work = Path(tempfile.mkdtemp(prefix="artifacts_", dir=args.work_dir))
        config = make_config(args, texts, seed)
        try:
            for kind, ablate in (("seeds", repaired), ("leaking", published)):
                if kind == "leaking" and seed not in args.leak_seeds:
                    continue
                module().ablated_precomputed_activations = ablate
                chosen = args.leak_saes if kind == "leaking" else list(saes)
                results[kind][str(seed)] = {
                    name: evaluate(args, watch, name, saes[name], config, work, clean) for name in chosen
                }
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return results


def evaluate(
    args: argparse.Namespace,
    watch: harness.Stopwatch,
    name: str,
    sae: Any,
    config: Any,
    artifacts: Path,
    clean: list[dict[str, float]],
) -> dict[str, Any]:
    """The reference's results of one SAE with one seed; `after` is what every SAE costs: effects and ablations."""
    clean.clear()
    try:
        with tempfile.TemporaryDirectory() as folder, watch.measure("total"):
            returned = module().run_eval(
                config,
                [(name, sae)],
                args.device,
                folder,
                force_rerun=True,
                save_activations=True,
                artifacts_path=str(artifacts),
            )
            harness.keep_results(Path(folder), args.out)
        result = next(iter(returned.values()))
        outcome: dict[str, Any] = {
            "metrics": result["eval_result_metrics"],
            "details": result["eval_result_details"],
            "clean": list(clean),
        }
    except Exception:
        outcome = {"error": traceback.format_exc()}
    times = watch.take()
    for of in times.values():
        of["after"] = round(of.get("effects", 0.0) + of.get("ablations", 0.0), 3)
    harness.logger.info("%s seed %d %s: %s", args.eval, config.random_seed, name, times["seconds"])
    return outcome | times | {"peak_rss_mb": harness.peak_rss_mb()}


def make_config(args: argparse.Namespace, texts: Mapping[str, Any], seed: int) -> Any:
    """The published configuration, sizes and context aside."""
    scr = args.eval == "scr"
    return harness.reference("evals.scr_and_tpp.eval_config").ScrAndTppEvalConfig(
        model_name=args.model.name,
        dataset_names=[ALIAS] if scr else list(texts),
        perform_scr=scr,
        random_seed=seed,
        train_set_size=args.train_size,
        test_set_size=args.test_size,
        context_length=args.context_length,
        llm_batch_size=32,
        llm_dtype=args.dtype,
        n_values=args.n,
        column1_vals_lookup={ALIAS: [tuple(pair) for pair in texts["pairs"]]} if scr else {},
    )


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--eval", choices=("scr", "tpp"), required=True)
    parser.add_argument("--texts", type=Path, required=True, help="rows of scr, or texts of tpp, as token ids")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument(
        "--leak-seeds", type=harness.integers, default=[], help="of these seeds also without the repair"
    )
    parser.add_argument("--leak-saes", type=harness.names, default=[], help="the SAEs of --leak-seeds")
    parser.add_argument("--train-size", type=int, default=4000, help="texts of one probe")
    parser.add_argument("--test-size", type=int, default=1000)
    parser.add_argument("--context-length", type=int, default=128)
    parser.add_argument("--n", type=harness.integers, default=[2, 5, 10, 20, 50, 100, 500], help="latents, by comma")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="where activations are kept")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
