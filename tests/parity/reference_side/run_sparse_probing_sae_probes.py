"""The published sparse_probing_sae_probes eval on given data files and SAEs, for several seeds; one JSON file.

The data folder holds what the package `sae-probes` ships: `probing_datasets_MASTER.csv.zst` and
`cleaned_data/<task>.csv.zst`, here with fewer rows. Settings other than 'normal' are run by that package's own
function, for the published eval refuses them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import tempfile
import traceback
from pathlib import Path
from statistics import fmean
from typing import Any

import adapters
import harness

METRICS = {"test_acc": "test_accuracy", "test_auc": "test_auc", "test_f1": "test_f1"}


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    watch = harness.Stopwatch()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.patch_model_loading(model)
        give_data(args.data, args.tasks)
        report: dict[str, Any] = {
            "eval": "sparse_probing_sae_probes",
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "model_load_s": watch.take()["seconds"]["model_load"],
            "token_ids": first_token_ids(model, args.tasks),
        }
        if args.converged_baseline:
            tighten_solver()
        attach(watch)
        work = Path(tempfile.mkdtemp(prefix="artifacts_", dir=args.work_dir))
        try:
            report["seeds"] = {str(seed): run_seed(args, watch, seed, work) for seed in args.seeds}
        finally:
            shutil.rmtree(work, ignore_errors=True)
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for saes in report["seeds"].values() for result in saes.values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def probes(module: str) -> Any:
    """A module of the package sae-probes, which the published eval calls."""
    return importlib.import_module(f"sae_probes.{module}")


def give_data(folder: Path, tasks: list[str]) -> None:
    """Let sae-probes read its files from this folder, whatever it has remembered of its own."""
    data = probes("utils_data")
    for module in ("constants", "utils_data", "generate_model_activations"):
        probes(module).DATA_PATH = folder
    data.get_binary_df.cache_clear()
    data.read_dataset_df.cache_clear()
    sizes = {task: len(data.read_numbered_dataset_df(task)) for task in tasks}
    for module in ("generate_sae_activations", "run_sae_evals", "run_baselines"):
        probes(module).DATASET_SIZES = sizes


def first_token_ids(model: Any, tasks: list[str]) -> dict[str, list[int]]:
    """The ids that the published tokenisation makes of each task's first text."""
    data, tokenizer = probes("utils_data"), probes("generate_model_activations")._get_tokenizer(model)
    return {task: tokenizer(data.read_numbered_dataset_df(task)["prompt"].iloc[0])["input_ids"] for task in tasks}


def attach(watch: harness.Stopwatch) -> None:
    """Book the LM pass, the residual stream's probes, the encoding and the SAE's probes on phases of their own."""
    evals, baselines = probes("run_sae_evals"), probes("run_baselines")
    watch.attach(evals, "ensure_dataset_activations", "lm_pass")
    watch.attach(baselines, "ensure_dataset_activations", "lm_pass")
    watch.attach(baselines, "run_baseline_dataset_layer", "lm_probes")
    watch.attach(evals, "generate_sae_activations", "sae_encode")
    watch.attach(evals, "find_best_reg", "sae_probes")


def run_seed(args: argparse.Namespace, watch: harness.Stopwatch, seed: int, work: Path) -> dict[str, Any]:
    """SAE name -> the reference's results; the activations of the model are kept for all SAEs and seeds."""
    saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
    evaluate = run_published if args.setting == "normal" else run_setting
    if args.converged_baseline:
        evaluate = run_baseline
    results: dict[str, Any] = {}
    for name, sae in saes.items():
        with watch.measure("total"):
            try:
                results[name] = evaluate(args, name, sae, seed, work)
            except Exception:
                results[name] = {"error": traceback.format_exc()}
        times = watch.take()
        for of in times.values():
            of["after"] = round(of["total"] - of.get("lm_pass", 0.0) - of.get("lm_probes", 0.0), 3)
        results[name] |= times | {"peak_rss_mb": harness.peak_rss_mb()}
        harness.logger.info("sparse_probing_sae_probes seed %d %s: %s", seed, name, times["seconds"])
    return results


def run_published(args: argparse.Namespace, name: str, sae: Any, seed: int, work: Path) -> dict[str, Any]:
    """The published eval, its files in a folder of the seed."""
    evals = harness.reference("evals.sparse_probing_sae_probes.main")
    config = harness.reference("evals.sparse_probing_sae_probes.eval_config").SparseProbingSaeProbesEvalConfig(
        model_name=args.model.name,
        random_seed=seed,
        dataset_names=args.tasks,
        reg_type=args.reg_type,
        ks=args.k,
        results_path=str(work / f"seed_{seed}"),
        model_cache_path=str(args.cache_dir or work / "activations"),
        include_llm_baseline=not args.no_baseline,
    )
    with tempfile.TemporaryDirectory() as folder:
        returned = evals.run_eval(config, [(name, sae)], args.device, folder, force_rerun=True)
        harness.keep_results(Path(folder), args.out)
    result = next(iter(returned.values()))
    return {"metrics": result["eval_result_metrics"], "details": result["eval_result_details"]}


def run_baseline(args: argparse.Namespace, name: str, sae: Any, seed: int, work: Path) -> dict[str, Any]:
    """The residual stream's probes alone, by the function that the published eval calls."""
    results = work / f"baseline_{seed}_{name}"
    probes("run_baselines").run_baseline_evals(
        model_name=args.model.name,
        hook_name=sae.cfg.hook_name,
        setting="normal",
        results_path=results,
        model_cache_path=args.cache_dir or work / "activations",
        datasets=args.tasks,
        device=args.device,
        seed=seed,
    )
    details = []
    for task in args.tasks:
        (path,) = results.rglob(f"{task}_{sae.cfg.hook_name}_*.json")
        (entry,) = json.loads(path.read_text())
        details.append({"dataset_name": task, **{f"llm_{ours}": entry[theirs] for theirs, ours in METRICS.items()}})
    return {"details": details}


def tighten_solver() -> None:
    """Let the residual stream's logistic regression reach its optimum: another solver, in float64."""
    training, baselines = probes("utils_training"), probes("run_baselines")
    published = training.LogisticRegression
    find_best_reg = baselines.METHODS["logreg"]

    def newton(**settings: Any) -> Any:
        return published(**{**settings, "solver": "newton-cholesky", "tol": 1e-8})

    def in_float64(x_train: Any, y_train: Any, x_test: Any, y_test: Any, **settings: Any) -> Any:
        return find_best_reg(x_train.double(), y_train, x_test.double(), y_test, **settings)

    training.LogisticRegression = newton
    baselines.METHODS["logreg"] = in_float64


def run_setting(args: argparse.Namespace, name: str, sae: Any, seed: int, work: Path) -> dict[str, Any]:
    """Another setting: the package's function, then the mean of what it wrote over the steps of each task."""
    results = work / f"{args.setting}_{seed}_{name}"
    probes("run_sae_evals").run_sae_evals(
        sae=sae,
        model_name=args.model.name,
        hook_name=sae.cfg.hook_name,
        reg_type=args.reg_type,
        setting=args.setting,
        ks=args.k,
        results_path=results,
        model_cache_path=args.cache_dir or work / "activations",
        datasets=args.tasks,
        device=args.device,
        seed=seed,
    )
    details = []
    for task in args.tasks:
        steps: dict[str, dict[str, float]] = {}
        for path in results.rglob(f"{task}_{sae.cfg.hook_name}_*.json"):
            for entry in json.loads(path.read_text()):
                name = str(entry["num_train"]) if "num_train" in entry else f"{entry['frac']:.2f}"
                scores = {f"sae_top_{entry['k']}_{ours}": entry[theirs] for theirs, ours in METRICS.items()}
                steps.setdefault(name, {}).update(scores)
        means = {key: fmean(step[key] for step in steps.values()) for key in next(iter(steps.values()))}
        details.append({"dataset_name": task, **means, "steps": steps})
    return {"details": details}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, help="folder with the list of tasks and cleaned_data")
    parser.add_argument("--tasks", type=harness.names, required=True, help="comma-separated")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument("--k", type=harness.integers, default=[1, 2, 5], help="numbers of latents, comma-separated")
    parser.add_argument("--reg-type", default="l1", choices=("l1", "l2"))
    parser.add_argument("--setting", default="normal", choices=("normal", "scarcity", "imbalance"))
    parser.add_argument("--no-baseline", action="store_true", help="leave the probe on the residual stream out")
    parser.add_argument(
        "--converged-baseline", action="store_true", help="the residual stream's probe alone, solved to its optimum"
    )
    parser.add_argument("--cache-dir", type=Path, help="keep the model's activations here for another call")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="where results are kept")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
