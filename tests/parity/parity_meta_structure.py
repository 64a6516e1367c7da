"""meta_structure beside the published package: means over seeds.

python tests/parity/parity_meta_structure.py --inputs IN --out OURS.json --saes topk,jumprelu --seeds 42,43,44
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

from reference import read, run_reference
from rows import Row, means

TITLE = "Meta-structure"
SAES = ("topk", "jumprelu")
SEEDS = (42, 43, 44)
WITHIN = 0.01
FIELDS = {"decoder_fraction_variance_explained": WITHIN, "final_reconstruction_mse": WITHIN / 576}
"""How far means may lie apart; the error is per coordinate, and the rows have variance 1 / 576 or less in each."""
INTRODUCTION = f"""\
The published settings (1500 steps of 1024 rows, a quarter of the latents, k = 4) on {len(SAES)} SAEs of 1536 latents, {len(SEEDS)} seeds.
Both sides draw starts and batches from generators of their own, so means over seeds are compared: variance explained
within {WITHIN}. The published side trains in float32 here (`--no-autocast`): in bfloat16, its default, it needs many times as
long on a CPU that has no instructions for it. It is seeded before every SAE; by itself only its command is.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Variance explained and error of every SAE."""
    saes = work / "in" / "saes"
    if run:
        for name in SAES:
            run_reference("run_meta_structure.py", "--sae-dir", saes, "--saes", name, "--seeds", _listed(SEEDS),
                          "--no-autocast", "--out", _published_file(work, name))  # fmt: skip
        run_ours("--inputs", work / "in", "--out", work / "meta_structure_ours.json", "--saes", ",".join(SAES),
                 "--seeds", _listed(SEEDS))  # fmt: skip
    ours = read(work / "meta_structure_ours.json")["saes"]
    rows: list[Row] = []
    for name in SAES:
        theirs = read(_published_file(work, name))["seeds"]
        for field, within in FIELDS.items():
            published = [theirs[str(seed)][name][field] for seed in SEEDS]
            rows.append(means(f"{name} {field}", published, ours[name][field], within=within))
    return rows


def _published_file(work: Path, name: str) -> Path:
    return work / f"meta_structure_reference_{name}.json"


def _listed(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


def run_ours(*arguments: object) -> None:
    """Run our side in a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, arguments)]
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    """Our side: train on the decoder rows of exported SAEs."""
    import torch
    from safetensors.torch import load_file

    from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
    from sae_bench.evals.meta_structure.evaluate import EXPLAINED, MSE, score_decoder

    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--saes", type=lambda text: text.split(","), required=True)
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], required=True)
    parser.add_argument("--train-steps", type=int, default=1500)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    config, results = MetaStructureEvalConfig(train_steps=args.train_steps), {}
    for name in args.saes:
        W_dec_FD = load_file(args.inputs / "saes" / f"{name}.safetensors")["W_dec"].float()
        scores = score_decoder(W_dec_FD, args.seeds, config)
        results[name] = {
            path.split(".")[1]: [result.metrics[path] for result in scores.seed_results] for path in (EXPLAINED, MSE)
        }
        results[name]["seconds"] = [scores.metrics.meta_structure.train_time_seconds] * len(args.seeds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    args.out.write_text(
        json.dumps({"saes": results, "peak_rss_mb": peak, "threads": torch.get_num_threads()}, indent=1)
    )


if __name__ == "__main__":
    main()
