"""The published sparse_probing eval on given texts and SAEs, for several seeds; one JSON file."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import traceback
from pathlib import Path
from typing import Any

import adapters
import harness


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    meta, texts = harness.read_json(args.meta), harness.read_json(args.texts)
    chosen = args.datasets or list(texts)
    texts = {name: texts[name] for name in chosen}
    watch = harness.Stopwatch()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, meta)
        context_length = args.context_length or int(meta["context_length"])
        report: dict[str, Any] = {
            "eval": "sparse_probing",
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads, "context_length": context_length, "datasets": chosen},
            "texts": count_texts(texts, context_length),
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        adapters.patch_model_loading(model)
        adapters.patch_sparse_probing(texts, meta)
        if args.check_logits:
            first = next(iter(next(iter(texts.values()))["test"].values()))[:1]
            report["logits"] = adapters.logit_difference(model, args.model, tokens_of(first))
        if args.reuse_activations:
            remember_activations()
        attach(watch)
        report["seeds"] = run_seeds(args, watch, texts, context_length)
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for saes in report["seeds"].values() for result in saes.values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def attach(watch: harness.Stopwatch) -> None:
    """Book the LM pass, the probes on the residual stream, the encoding and the SAE probes on phases of their own.

    Within one dataset, the reference trains on the residual stream first and on the SAE codes after encoding.
    """
    probing = harness.reference("evals.sparse_probing.main")
    probe_training = harness.reference("evals.sparse_probing.probe_training")
    activation_collection = harness.reference("sae_bench_utils.activation_collection")
    encoded = False

    def starts_dataset() -> str:
        nonlocal encoded
        encoded = False
        return "datasets"

    def encodes() -> str:
        nonlocal encoded
        encoded = True
        return "sae_encode"

    watch.attach(probing, "run_eval_single_dataset", starts_dataset)
    watch.attach(probing, "get_dataset_activations", "lm_pass")
    watch.attach(activation_collection, "get_sae_meaned_activations", encodes)
    watch.attach(probe_training, "train_probe_on_activations", lambda: "sae_probes" if encoded else "lm_probes")


def remember_activations() -> None:
    """Let later seeds read the language model's activations of the first; everything that is drawn is drawn anew.

    The texts are given, so the activations do not depend on the seed.
    """
    probing = harness.reference("evals.sparse_probing.main")
    compute = probing.get_dataset_activations
    kept: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def get_dataset_activations(dataset_name: str, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if dataset_name not in kept:
            kept[dataset_name] = compute(dataset_name, *args, **kwargs)
        train, test = kept[dataset_name]
        return dict(train), dict(test)  # the caller empties the dictionaries

    probing.get_dataset_activations = get_dataset_activations


def run_seeds(
    args: argparse.Namespace, watch: harness.Stopwatch, texts: dict[str, Any], context_length: int
) -> dict[str, Any]:
    """Seed -> SAE name -> the reference's results.

    Within a seed, SAEs share the saved activations as in the reference; a new seed starts without any, unless the
    artifacts are to be reused: then the probes on the residual stream are those of the first seed, too.
    """
    saes = adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="artifacts_", dir=args.work_dir))
    results: dict[str, Any] = {}
    try:
        for seed in args.seeds:
            artifacts = work / ("shared" if args.reuse_artifacts else f"seed_{seed}")
            results[str(seed)] = {
                name: evaluate(args, watch, name, sae, make_config(args, texts, context_length, seed), artifacts)
                for name, sae in saes.items()
            }
            if not args.reuse_artifacts:
                shutil.rmtree(artifacts, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return results


def evaluate(
    args: argparse.Namespace, watch: harness.Stopwatch, name: str, sae: Any, config: Any, artifacts: Path
) -> dict[str, Any]:
    """The reference's result dictionary of one SAE with one seed; `after` is what each further SAE costs as well."""
    probing = harness.reference("evals.sparse_probing.main")
    outcome: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder, watch.measure("total"):
            returned = probing.run_eval(
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
        outcome = {
            "metrics": result["eval_result_metrics"],
            "details": result["eval_result_details"],
            "per_class": result["eval_result_unstructured"],
        }
    except Exception:
        outcome = {"error": traceback.format_exc()}
    times = watch.take()
    for of in times.values():
        of["after"] = round(of["total"] - of.get("lm_pass", 0.0) - of.get("lm_probes", 0.0), 3)
    harness.logger.info("sparse_probing seed %d %s: %s", config.random_seed, name, times["seconds"])
    return outcome | times | {"peak_rss_mb": harness.peak_rss_mb()}


def make_config(args: argparse.Namespace, texts: dict[str, Any], context_length: int, seed: int) -> Any:
    """The reference's configuration. Its set sizes count two classes; here they only describe the given texts."""
    first = next(iter(texts.values()))
    return harness.reference("evals.sparse_probing.eval_config").SparseProbingEvalConfig(
        model_name=args.model.name,
        dataset_names=list(texts),
        random_seed=seed,
        probe_train_set_size=2 * len(next(iter(first["train"].values()))),
        probe_test_set_size=2 * len(next(iter(first["test"].values()))),
        context_length=context_length,
        llm_batch_size=args.llm_batch_size,
        llm_dtype=args.dtype,
        sae_batch_size=args.sae_batch_size,
        k_values=args.k,
    )


def tokens_of(rows: list[list[int]]) -> Any:
    """The first 32 tokens of one text, as a batch of one."""
    return adapters.pad_right(rows, min(32, len(rows[0])), 0, "cpu")["input_ids"]


def count_texts(texts: dict[str, Any], context_length: int) -> dict[str, Any]:
    """Classes, texts per class and real tokens of every dataset."""

    def tokens(dataset: dict[str, Any]) -> int:
        rows = (ids for split in ("train", "test") for texts in dataset[split].values() for ids in texts)
        return sum(min(len(ids), context_length) for ids in rows)

    return {
        name: {
            "classes": len(dataset["classes"]),
            "train_per_class": len(next(iter(dataset["train"].values()))),
            "test_per_class": len(next(iter(dataset["test"].values()))),
            "tokens": tokens(dataset),
        }
        for name, dataset in texts.items()
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--texts", type=Path, required=True, help="texts.json: token ids by dataset, split and class")
    parser.add_argument("--datasets", type=harness.names, help="comma-separated; not given: all of the file")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument("--k", type=harness.integers, default=[1, 2, 5], help="numbers of latents, comma-separated")
    parser.add_argument("--context-length", type=int, help="not given: that of meta.json")
    parser.add_argument("--llm-batch-size", type=int, default=32)
    parser.add_argument("--sae-batch-size", type=int, default=125)
    parser.add_argument("--reuse-artifacts", action="store_true", help="later seeds read the first seed's activations")
    parser.add_argument(
        "--reuse-activations", action="store_true", help="run the language model for the first seed only"
    )
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="where activations are kept")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
