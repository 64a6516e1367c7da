"""Values of TransformerLens at named hooks for given tokens, as a safetensors file.

Needs transformer-lens only; the published benchmark package may be absent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import adapters
import harness
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

LOGITS = "logits"


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    tokens_NL = load_file(str(args.tokens))["tokens"].long()[: args.rows]
    with adapters.threads(args.threads) as n_threads, harness.output_to(None if args.verbose else log_of(args.out)):
        model = adapters.load_model(args.model, args.dtype, device=args.device, n_ctx=args.n_ctx)
        known = set(model.hook_dict)
        missing = [name for name in args.hooks if name not in known]
        values = capture(model, tokens_NL, [name for name in args.hooks if name in known], args.batch_size)
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "architecture": model.cfg.original_architecture,
            "missing_hooks": missing,
            "shapes": {name: list(value.shape) for name, value in values.items()},
            "logits": adapters.logit_difference(model, args.model, tokens_NL[:2]),
        }
    args.values.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in values.items()}, str(args.values))
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)
    harness.logger.info("%s: %d values, missing %s, logits %s", args.values, len(values), missing, report["logits"])


@torch.no_grad()
def capture(model: Any, tokens_NL: Tensor, hooks: list[str], batch_size: int) -> dict[str, Tensor]:
    """Hook name -> (N, L, width), heads side by side in one dimension; and the logits."""
    kept: dict[str, list[Tensor]] = {name: [] for name in (*hooks, LOGITS)}
    for batch in tokens_NL.split(batch_size):
        logits, cache = model.run_with_cache(
            batch.to(model.cfg.device), return_type="logits", prepend_bos=False, names_filter=hooks
        )
        kept[LOGITS].append(logits.cpu())
        for name in hooks:
            kept[name].append(cache[name].flatten(2).cpu())
    return {name: torch.cat(parts) for name, parts in kept.items()}


def log_of(path: Path) -> Path:
    return path.with_suffix(".log")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = harness.base_parser(str(__doc__))
    parser.add_argument("--tokens", type=Path, required=True, help='safetensors with "tokens" (N, L)')
    parser.add_argument("--rows", type=int, help="only the first rows; not given: all")
    parser.add_argument("--hooks", type=harness.names, required=True, help="comma-separated hook names")
    parser.add_argument("--values", type=Path, required=True, help="safetensors file for the values")
    parser.add_argument("--batch-size", type=int, default=8)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
