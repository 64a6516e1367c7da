"""The published unlearning eval on given questions, token rows and SAEs; one JSON file.

The prompt format and the ids of the known questions are given, as are the rows of both corpora. Everything that
computes a number is the published code.

Shapes: Q questions, O orders of the choices, C choices, N rows, L tokens, F latents.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import adapters
import harness
import numpy as np
from safetensors.torch import load_file

MODEL_NAME = "gemma-2-2b-it"
"""What the model is called here: the published code refuses other names."""
KINDS = ("correct", "correct-iff-question", "correct-no-tricks")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    meta, questions = harness.read_json(args.meta), harness.read_json(args.questions)
    watch = harness.Stopwatch()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    args.work_dir.mkdir(parents=True, exist_ok=True)
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, meta)
        model.cfg.model_name = MODEL_NAME
        give_questions(questions)
        give_rows(load_file(args.rows))
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        artifacts = Path(tempfile.mkdtemp(prefix="unlearning_", dir=args.work_dir))
        try:
            report["orders"] = ask_in_all_orders(args, model, questions["sets"], artifacts)
            report["saes"] = run_saes(args, watch, model, questions["sets"], artifacts)
        finally:
            shutil.rmtree(artifacts, ignore_errors=True)
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)


def metrics() -> Any:
    return harness.reference("evals.unlearning.utils.metrics")


def eval_module() -> Any:
    return harness.reference("evals.unlearning.utils.eval")


# ---- where data comes in


def give_questions(questions: Mapping[str, Any]) -> None:
    """The published code reads these sets, and writes its prompts in this format."""
    sets = questions["sets"]

    def load(_path: str, name: str, split: str = "test") -> Any:
        return sets[name]

    metrics().load_dataset = load
    metrics().load_dataset_with_retries = load
    metrics().GEMMA_INST_FORMAT = questions["format"]


def give_rows(rows: Mapping[str, Any]) -> None:
    """Sparsities are measured on these packed rows (N, L)."""

    def given(*_args: Any, **_kwargs: Any) -> tuple[Any, Any]:
        return rows["forget"], rows["retain"]

    harness.reference("evals.unlearning.utils.feature_activation").get_shuffled_forget_retain_tokens = given


def take_all_for_known(sets: Mapping[str, Any], artifacts: Path) -> None:
    """Write the files of known questions: all of every set."""
    for name, questions in sets.items():
        full = name if name == "wmdp-bio" else f"mmlu-{name.replace('_', '-')}"
        for split in ("train", "test", "all"):
            folder = artifacts / "data/question_ids" / split
            folder.mkdir(parents=True, exist_ok=True)
            for kind in KINDS:
                np.savetxt(folder / f"{full}_{kind}.csv", np.arange(len(questions)), fmt="%d")


# ---- running


def ask_in_all_orders(
    args: argparse.Namespace, model: Any, sets: Mapping[str, Any], artifacts: Path
) -> dict[str, dict[str, Any]]:
    """Set -> with or without the question -> (Q, O) right answers, of the first --order-questions of each set."""
    found: dict[str, dict[str, Any]] = {}
    for name, questions in sets.items() if args.order_questions else ():
        chosen = list(range(min(args.order_questions, len(questions))))
        for what, without in (("with", False), ("without", True)):
            result = metrics().calculate_MCQ_metrics(
                model,
                args.batch_size,
                str(artifacts),
                name,
                question_subset=chosen,
                permutations=metrics().all_permutations,
                without_question=without,
            )
            right_QO = result["is_correct"].reshape(len(chosen), -1)
            found.setdefault(name, {})[what] = right_QO.astype(int)
    return found


def run_saes(
    args: argparse.Namespace, watch: harness.Stopwatch, model: Any, sets: Mapping[str, Any], artifacts: Path
) -> dict[str, Any]:
    """SAE -> its score, and under every setting which questions are answered right with which probabilities."""
    take_all_for_known(sets, artifacts)
    seen = remember()
    watch.attach(eval_module(), "save_feature_sparsity", "sparsity")
    watch.attach(eval_module(), "run_metrics_calculation", "grid")
    config = harness.reference("evals.unlearning.eval_config").UnlearningEvalConfig(
        dataset_names=list(sets),
        retain_thresholds=args.retain_thresholds,
        n_features_list=args.n_features,
        multipliers=args.multipliers,
        model_name=MODEL_NAME,
        llm_batch_size=args.batch_size,
        llm_dtype=args.dtype,
    )
    main_module = harness.reference("evals.unlearning.main")
    results: dict[str, Any] = {}
    for name, sae in adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device).items():
        seen.update(settings=[], sparsities=[])
        with watch.measure("total"):
            eval_module().run_eval_single_sae(model, sae, config, str(artifacts), name, True)
            table = main_module.get_metrics_df(str(artifacts / name / "results/metrics"))
            score = float(main_module.get_unlearning_scores(table))
        forget_F, retain_F = seen["sparsities"]
        results[name] = {
            "unlearning_score": score,
            "forget": forget_F,
            "retain": retain_F,
            "settings": seen["settings"],
            "untouched": seen["untouched"],
            "peak_rss_mb": harness.peak_rss_mb(),
            **watch.take(),
        }
        harness.logger.info("%s: %s", name, results[name]["seconds"])
    return results


def remember() -> dict[str, Any]:
    """Keep what the published code leaves out of its result: answers, probabilities, latents, sparsities."""
    seen: dict[str, Any] = {"untouched": {}}
    module = metrics()
    ask, probabilities = module.calculate_MCQ_metrics, module.get_output_probs_abcd
    clamp, sweep = module.modify_and_calculate_metrics, eval_module().calculate_metrics_list
    sparsity = harness.reference("evals.unlearning.utils.feature_activation")
    measure = sparsity.calculate_sparsity

    def keep_probabilities(*args: Any, **kwargs: Any) -> Any:
        seen["probabilities"] = probabilities(*args, **kwargs)
        return seen["probabilities"]

    def keep_answers(*args: Any, **kwargs: Any) -> Any:
        found = ask(*args, **kwargs)
        answers = {"right": found["is_correct"].astype(int), "probabilities": seen["probabilities"].double()}
        if seen.get("under_clamp"):
            seen["answers"][kwargs["dataset_name"]] = answers
        else:
            seen["untouched"][kwargs["dataset_name"]] = answers
        return found

    def keep_setting(*args: Any, **kwargs: Any) -> Any:
        seen.update(under_clamp=True, answers={})
        found = clamp(*args, **kwargs)
        seen["under_clamp"] = False
        seen["settings"].append(
            {
                "retain_threshold": seen["threshold"],
                "latents": [int(i) for i in kwargs["features_to_ablate"]],
                "multiplier": kwargs["multiplier"],
                "answers": seen["answers"],
            }
        )
        return found

    def keep_threshold(*args: Any, **kwargs: Any) -> Any:
        seen["threshold"] = kwargs["retain_threshold"]
        return sweep(*args, **kwargs)

    def keep_sparsities(*args: Any, **kwargs: Any) -> Any:
        seen["sparsities"] = measure(*args, **kwargs)
        return seen["sparsities"]

    module.get_output_probs_abcd, module.calculate_MCQ_metrics = keep_probabilities, keep_answers
    module.modify_and_calculate_metrics = keep_setting
    eval_module().calculate_metrics_list = keep_threshold
    sparsity.calculate_sparsity = keep_sparsities
    return seen


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--questions", type=Path, required=True, help="sets of questions, and the prompt format")
    parser.add_argument("--rows", type=Path, required=True, help="safetensors file with rows forget and retain")
    parser.add_argument("--retain-thresholds", type=floats, default=[0.001, 0.01], help="comma-separated")
    parser.add_argument("--n-features", type=harness.integers, default=[10, 20], help="comma-separated")
    parser.add_argument("--multipliers", type=harness.integers, default=[25, 50, 100, 200], help="comma-separated")
    parser.add_argument("--batch-size", type=int, default=4, help="rows of a corpus, and half the number of questions")
    parser.add_argument("--order-questions", type=int, default=0, help="questions of each set to ask in all orders")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="where its files are kept")
    return parser.parse_args(argv)


def floats(text: str) -> list[float]:
    """`0.1,0.5` -> [0.1, 0.5]."""
    return [float(part) for part in harness.names(text)]


if __name__ == "__main__":
    main()
