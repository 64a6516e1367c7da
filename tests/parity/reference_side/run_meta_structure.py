"""The published meta_structure eval on given SAEs, for several seeds; one JSON file. No language model is needed.

The published function takes its random numbers from the global state, which only its command seeds: here it is seeded
before every SAE. `--no-autocast` switches the published setting off (bfloat16 is slow on many CPUs).
"""

from __future__ import annotations

import argparse
import traceback
from pathlib import Path
from typing import Any

import adapters
import harness


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file):
        saes = adapters.load_saes(args.sae_dir, chosen=args.saes)
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "seeds": {
                str(seed): {name: evaluate(args, name, saes[name], seed) for name in saes} for seed in args.seeds
            },
        }
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    if any("error" in result for of_seed in report["seeds"].values() for result in of_seed.values()):
        raise SystemExit(f"some SAEs failed; their tracebacks are in {args.out}.")


def evaluate(args: argparse.Namespace, name: str, sae: Any, seed: int) -> dict[str, Any]:
    """Metrics and seconds of one SAE and seed."""
    published = harness.reference("evals.meta_structure.main")
    config = harness.reference("evals.meta_structure.eval_config").MetaStructureEvalConfig(
        random_seed=seed, train_steps=args.train_steps, autocast=args.autocast
    )
    if not hasattr(sae.cfg, "to_dict"):
        type(sae.cfg).to_dict = lambda cfg: dict(vars(cfg))
    watch = harness.Stopwatch()
    try:
        published._set_random_seed(seed)
        with watch.measure("total"):
            output = published.run_eval_single_sae("parity", name, sae, config, args.device)
        outcome: dict[str, Any] = harness.plain(output.eval_result_metrics.meta_structure)
    except Exception:
        outcome = {"error": traceback.format_exc()}
    times = watch.take()
    harness.logger.info("seed %d %s: %s %s", seed, name, times["seconds"], outcome)
    return outcome | times


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--sae-dir", type=Path, required=True, help="folder with <name>.safetensors and <name>.json")
    parser.add_argument("--saes", type=harness.names, help="comma-separated names; not given: all")
    parser.add_argument("--seeds", type=harness.integers, default=[42], help="comma-separated")
    parser.add_argument("--train-steps", type=int, default=1500)
    parser.add_argument("--autocast", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--threads", type=int, help="torch threads; not given: torch's own choice")
    parser.add_argument("--verbose", action="store_true", help="leave the reference's own output on the terminal")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
