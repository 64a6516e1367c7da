"""mdl beside the published package on the same activations: as it is, and with its inputs mended.

python tests/parity/parity_mdl.py export --inputs IN
python tests/parity/parity_mdl.py mdl --inputs IN --out OURS.json --saes topk,relu --bins 8,32
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
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row, equal

TITLE = "MDL"
CASES = (("topk", None), ("relu", None), ("relu", 16))
"""SAE and k; None keeps all codes."""
BINS = (8, 32)
ROWS = 8
RELATIVE = 1e-3
"""Edges of bins are float32 on the published side: a code within rounding of one may fall to its other side."""
WHY_LENGTH = (
    "every latent's bins span [0, 100]: the largest code is looked for from 100 on and the smallest is set to 0, so "
    "that nearly all codes, and all tokens on which the latent is off, share the first bin; k is ignored"
)
WHY_ERROR = "the same bins; and latents that are off decode as the middle of their first bin"
INTRODUCTION = f"""\
The activations of {ROWS} packed rows of 128 tokens at the SAEs' hook, special tokens left out; every SAE encodes them on both
sides. The published code does not run by itself: an undeclared dependency is missing, its functions read a global
configuration that nobody sets, and `.cuda()` is called on any device; that much is repaired for all rows.

- "as published": its numbers, which are not those of its definition; the reason stands in the row.
- "mended": the published functions with bins between the smallest and the largest active code of each latent, codes
  limited to k before the entropy too, and latents that are off left at 0. They agree with ours within {RELATIVE:g} of the value.

The exact test of ours is another one: a slow, plain implementation of the definition in rational arithmetic, in the unit
tests.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Description length and error of every case, as published and mended."""
    inputs = work / "in"
    if run:
        export_inputs(work)
        for sae, k in CASES:
            of_k = () if k is None else ("--k", k)
            run_reference(
                "run_mdl.py", "--activations", inputs / "mdl.safetensors", "--sae-dir", inputs / "saes", "--saes", sae,
                "--bins", _listed(BINS), "--out", _file(work, sae, k, "reference"), "--mended", *of_k,
            )  # fmt: skip
            run_ours("mdl", "--inputs", inputs, "--saes", sae, "--bins", _listed(BINS), "--out",
                     _file(work, sae, k, "ours"), *of_k)  # fmt: skip
    rows: list[Row] = []
    for sae, k in CASES:
        theirs = read(_file(work, sae, k, "reference"))["saes"][sae]
        ours = read(_file(work, sae, k, "ours"))["saes"][sae]["details"]
        for published, fixed, found in zip(theirs["as_it_is"], theirs["mended"], ours, strict=True):
            what = f"{sae}, {found['num_bins']} bins, {'all codes' if k is None else f'k = {k}'}:"
            rows += _rows(what, published, fixed, found)
    return rows


def _rows(what: str, published: dict[str, Any], fixed: dict[str, Any], ours: dict[str, Any]) -> list[Row]:
    found: list[Row] = []
    for field, why in (("description_length", WHY_LENGTH), ("mse_loss", WHY_ERROR)):
        found.append(Row(f"{what} {field}, as published", published[field], ours[field], f"decided: {why}", True))
        found.append(equal(f"{what} {field}, mended", fixed[field], ours[field], relative=RELATIVE))
    return found


def _file(work: Path, sae: str, k: int | None, side: str) -> Path:
    return work / f"mdl_{sae}_{k}_{side}.json"


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


# ---- our side


def export_inputs(work: Path) -> None:
    """Write the activations that both sides read."""
    run_ours("export", "--inputs", work / "in")


def run_ours(*arguments: object) -> None:
    """Run one command of this file in a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, arguments)]
    subprocess.run(command, check=True, env=environment)


def export(args: argparse.Namespace) -> None:
    """Activations of the exported rows at the hook of the exported SAEs."""
    import torch
    from safetensors.torch import load_file, save_file

    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    rows_NL = load_file(args.inputs / "tokens.safetensors")["tokens"][:ROWS]
    hook = json.loads(next((args.inputs / "saes").glob("*.json")).read_text())["hook_name"]
    valid_NL = ~torch.isin(rows_NL, torch.tensor(sorted(lm.special_token_ids)))
    with torch.no_grad():
        x_NLD = lm.capture(rows_NL, [hook])[hook]
    row_N = valid_NL.nonzero()[:, 0]
    save_file({"x": x_NLD[valid_NL].contiguous(), "row": row_N}, args.inputs / "mdl.safetensors")


def evaluate(args: argparse.Namespace) -> None:
    """What follows the pass, on activations from a file: keep codes and ranges, then the sweep."""
    import torch

    from sae_bench.custom_saes.loading import Member
    from sae_bench.custom_saes.spec import LoadContext, resolve_spec
    from sae_bench.evals.mdl.consumer import MDLConsumer
    from sae_bench.evals.mdl.eval_config import MDLEvalConfig
    from sae_bench.evals.mdl.results import score_sae

    if args.threads:
        torch.set_num_threads(args.threads)
    config = MDLEvalConfig(k_values=args.k or [None], num_bins_values=args.bins, mse_epsilon_threshold=0.2)
    results: dict[str, Any] = {}
    for name in args.saes:
        (handle,) = resolve_spec(f"path:{args.inputs / 'saes' / name}.safetensors")
        sae = handle.load(LoadContext(device=torch.device("cpu"), dtype=torch.float32))
        member = Member("parity", name, sae, sae.cfg.hook_name)
        batch = _batch(args.inputs / "mdl.safetensors", member.hook_name)
        start = perf_counter()
        consumer = MDLConsumer([member], config.k_values)
        _consume(consumer, batch, member)
        scores = score_sae(consumer, member, config, "parity")
        results[name] = {
            "details": [detail.model_dump() for detail in scores.details],
            "seconds": {"total": perf_counter() - start},
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    args.out.write_text(
        json.dumps({"saes": results, "peak_rss_mb": peak, "threads": torch.get_num_threads()}, indent=1)
    )


def _batch(path: Path, hook: str) -> Any:
    """All tokens as one batch, laid out as rows again."""
    import torch
    from safetensors.torch import load_file

    from sae_bench.activations.batches import ActivationBatch

    saved = load_file(path)
    count_B = saved["row"].bincount()
    valid_BL = torch.arange(int(count_B.max()))[None] < count_B[:, None]
    x_BLD = torch.zeros(*valid_BL.shape, saved["x"].shape[1])
    x_BLD[valid_BL] = saved["x"]
    return ActivationBatch(tuple(range(len(count_B))), valid_BL.long(), valid_BL, {hook: x_BLD})


def _consume(consumer: Any, batch: Any, member: Any) -> None:
    import torch

    from sae_bench.custom_saes.interface import encode_tokens

    with torch.no_grad():
        consumer.on_activations(batch)
        consumer.on_codes(batch, member, encode_tokens(member.sae, batch.tokens(member.hook_name)))


def main() -> None:
    """Run one command of our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("export", "mdl"))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--saes", type=lambda text: text.split(","))
    parser.add_argument("--bins", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--k", type=lambda text: [int(k) for k in text.split(",")])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    {"export": export, "mdl": evaluate}[args.command](args)


if __name__ == "__main__":
    main()
