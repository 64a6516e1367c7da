"""The published core eval on given tokens and SAEs; one JSON file with its metrics, seconds and memory."""

from __future__ import annotations

import argparse
import tempfile
import traceback
from pathlib import Path
from typing import Any

import adapters
import harness
from safetensors.torch import load_file

PHASES = {
    "run_evals": "eval",
    "get_downstream_reconstruction_metrics": "reconstruction",
    "get_sparsity_and_variance_metrics": "sparsity",
    "get_featurewise_weight_based_metrics": "weights",
    "save_single_eval_result": "save",
}
"""Functions of the reference -> the phase that their time is booked on; `eval` holds the next three."""


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    tokens_NL = load_file(str(args.tokens))["tokens"].long()
    check_rows(args, len(tokens_NL))
    watch = harness.Stopwatch()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        with watch.measure("model_load"):
            model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        adapters.set_special_ids(model, harness.read_json(args.meta))
        report: dict[str, Any] = {
            "eval": "core",
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads, "context_size": tokens_NL.shape[1]},
            "model_load_s": watch.take()["seconds"]["model_load"],
        }
        if args.check_logits:
            report["logits"] = adapters.logit_difference(model, args.model, tokens_NL[:2, :32])
        adapters.patch_model_loading(model)
        adapters.patch_core(tokens_NL, reset=args.reset, device=args.device)
        report["saes"] = evaluate(args, watch, context_size=tokens_NL.shape[1])
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for result in report["saes"].values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def evaluate(args: argparse.Namespace, watch: harness.Stopwatch, *, context_size: int) -> dict[str, Any]:
    """SAE name -> the reference's own metrics, with seconds by phase."""
    core = harness.reference("evals.core.main")
    errors: list[str] = []
    keep_tracebacks(core, errors)
    for function, phase in PHASES.items():
        watch.attach(core, function, phase)
    results: dict[str, Any] = {}
    for name, sae in adapters.load_saes(args.sae_dir, chosen=args.saes, dtype=args.dtype, device=args.device).items():
        with tempfile.TemporaryDirectory() as folder, watch.measure("total"):
            outcome = core.multiple_evals(
                [(name, sae)],
                n_eval_reconstruction_batches=args.reconstruction_batches,
                n_eval_sparsity_variance_batches=args.sparsity_batches,
                eval_batch_size_prompts=args.batch_size,
                compute_featurewise_density_statistics=True,
                compute_featurewise_weight_based_metrics=True,
                exclude_special_tokens_from_reconstruction=args.exclude_special_tokens,
                dataset="given",
                context_size=context_size,
                output_folder=folder,
                dtype=args.dtype,
                device=args.device,
                force_rerun=True,
            )
            harness.keep_results(Path(folder), args.out)
        results[name] = {**watch.take(), "peak_rss_mb": harness.peak_rss_mb()}
        if outcome:
            results[name]["metrics"] = outcome[0]["metrics"]
            results[name]["feature_metrics"] = outcome[0]["feature_metrics"] if args.feature_metrics else None
        else:
            results[name]["error"] = errors[-1] if errors else "the reference returned nothing; see the log."
        harness.logger.info("core %s: %s", name, results[name]["seconds"])
    return results


def keep_tracebacks(core: Any, errors: list[str]) -> None:
    """The reference goes on after a failed SAE and logs one line; keep the whole traceback as well."""
    for name in ("run_evals", "calculate_misc_metrics", "save_single_eval_result"):
        setattr(core, name, _remembering(getattr(core, name), errors))


def _remembering(function: Any, errors: list[str]) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            errors.append(traceback.format_exc())
            raise

    return call


def check_rows(args: argparse.Namespace, n_rows: int) -> None:
    """Stop before the model is loaded if the tokens do not suffice."""
    parts = (args.reconstruction_batches * args.batch_size, args.sparsity_batches * args.batch_size)
    needed = sum(parts) if args.reset == "continue" else max(parts)
    if n_rows < needed:
        raise SystemExit(f"{args.tokens} has {n_rows} rows, {needed} are needed.")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    harness.add_sae_arguments(parser)
    parser.add_argument("--tokens", type=Path, required=True, help='safetensors with "tokens" (N, L)')
    parser.add_argument("--reconstruction-batches", type=int, default=2)
    parser.add_argument("--sparsity-batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16, help="rows per batch")
    parser.add_argument("--exclude-special-tokens", action="store_true", help="leave BOS, EOS and PAD as they are")
    parser.add_argument(
        "--reset",
        choices=("rewind", "continue"),
        default="rewind",
        help="where the sparsity batches start: at the first row again, or after the reconstruction batches",
    )
    parser.add_argument(
        "--no-feature-metrics", dest="feature_metrics", action="store_false", help="leave the per-latent lists out"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
