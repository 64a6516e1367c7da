"""The published mdl eval on given activations and SAEs: as it is, and with what goes in mended; one JSON file.

Its code runs as it stands, but for what keeps it from running at all: `loguru` is not among its dependencies, its
functions read a global `config` that nobody sets, and `.cuda()` is called whatever the device (here: does nothing).
Activations take the place of the token store; every request for a batch gets all of them.

"mended" calls the published functions with bins between the smallest and the largest active code of each latent (their
histogram then counts active codes only), codes limited to k before anything is computed, and latents that are off left
at 0 after the quantisation.
"""

from __future__ import annotations

import argparse
import logging
import sys
import types
from pathlib import Path
from typing import Any

import adapters
import harness
import torch
from safetensors.torch import load_file
from torch import Tensor


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    x_ND = load_file(str(args.activations))["x"]
    log_file = None if args.verbose else args.out.with_suffix(".log")
    with adapters.threads(args.threads) as n_threads, harness.output_to(log_file), torch.no_grad():
        published = prepare(x_ND)
        saes = adapters.load_saes(args.sae_dir, chosen=args.saes)
        report: dict[str, Any] = {
            "versions": harness.versions(),
            "settings": vars(args) | {"threads": n_threads},
            "n_tokens": len(x_ND),
            "saes": {name: evaluate(args, published, name, sae, x_ND) for name, sae in saes.items()},
        }
    report["peak_rss_mb"] = harness.peak_rss_mb()
    harness.write_json(args.out, report)


def prepare(x_ND: Tensor) -> Any:
    """The published module, able to run, reading these activations."""
    stub: Any = types.ModuleType("loguru")
    stub.logger = logging.getLogger("published mdl")
    sys.modules.setdefault("loguru", stub)
    published = harness.reference("evals.mdl.main")
    published.config = types.SimpleNamespace(sae_batch_size=1)  # how many batches a request joins
    store = types.SimpleNamespace(get_filtered_llm_batch=lambda: x_ND)
    published.ActivationsStore = types.SimpleNamespace(from_sae=lambda *_args, **_options: store)
    torch.Tensor.cuda = lambda tensor, *_args, **_options: tensor  # type: ignore[method-assign]
    return published


def evaluate(args: argparse.Namespace, published: Any, name: str, sae: Any, x_ND: Tensor) -> dict[str, Any]:
    """Records of both kinds, and the seconds of the published eval as it is."""
    ks = args.k or [None]
    config = harness.reference("evals.mdl.eval_config").MDLEvalConfig(
        k_values=ks, num_bins_values=args.bins, sae_batch_size=1, mse_epsilon_threshold=args.threshold
    )
    watch = harness.Stopwatch()
    with watch.measure("total"):
        records = published.run_eval_single_sae(config, sae, torch.nn.Identity(), "cpu")
    outcome = {"as_it_is": records} | watch.take()
    if args.mended:
        outcome["mended"] = [mended(published, sae, x_ND, n, k, args.threshold) for n in args.bins for k in ks]
    harness.logger.info("%s: %s", name, outcome["seconds"])
    return outcome


def mended(published: Any, sae: Any, x_ND: Tensor, n_bins: int, k: int | None, threshold: float) -> dict[str, Any]:
    """The published functions on mended bins and codes."""
    codes_NF = sae.encode(x_ND)
    if k is not None:
        codes_NF = published.TopK(k)(codes_NF)
    bins = [edges(codes_F, n_bins) for codes_F in codes_NF.T]
    store = types.SimpleNamespace(get_filtered_llm_batch=lambda: x_ND)
    encoder = types.SimpleNamespace(encode=lambda _x: codes_NF, cfg=sae.cfg)
    decoder = types.SimpleNamespace(decode=lambda binned_NF: sae.decode(binned_NF * (codes_NF > 0)))
    _, mse_loss = published.check_quantised_features_reach_mse_threshold(
        bins_F_list_Bi=bins, activations_store=store, sae=encoder, mse_threshold=threshold, autoencoder=decoder
    )
    length = published.calculate_dl(
        num_features=len(bins), bins_F_list_Bi=bins, device="cpu", activations_store=store, sae=encoder, k=k
    )
    return {"num_bins": n_bins, "k": k, "description_length": length, "mse_loss": mse_loss}


def edges(codes_N: Tensor, n_bins: int) -> Tensor:
    """Edges between the smallest and the largest active code; of width 1 where there is one value or none."""
    active = codes_N[codes_N > 0]
    low, high = (float(active.min()), float(active.max())) if len(active) else (0.0, 1.0)
    return torch.linspace(low, high if high > low else low + 1.0, n_bins + 1)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--activations", type=Path, required=True, help='safetensors with "x" (N, D)')
    parser.add_argument("--sae-dir", type=Path, required=True, help="folder with <name>.safetensors and <name>.json")
    parser.add_argument("--saes", type=harness.names, help="comma-separated names; not given: all")
    parser.add_argument("--bins", type=harness.integers, default=[8, 16, 32, 64], help="comma-separated")
    parser.add_argument("--k", type=harness.integers, help="comma-separated; not given: all codes")
    parser.add_argument("--threshold", type=float, default=0.2)
    parser.add_argument("--mended", action="store_true", help="also with mended bins and codes")
    parser.add_argument("--threads", type=int, help="torch threads; not given: torch's own choice")
    parser.add_argument("--verbose", action="store_true", help="leave the reference's own output on the terminal")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
