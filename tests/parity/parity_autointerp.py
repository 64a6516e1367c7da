"""Examples of given latents beside the published package.

python tests/parity/parity_autointerp.py --inputs IN --out OURS.json --saes topk --latents 200 --rows 96
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row, close

TITLE = "AutoInterp"
SAES = ("topk", "jumprelu")
LATENTS, ROWS = 200, 96
FLIPPED = 3
"""Latents that may differ: an activation within rounding of a threshold, or of another one, is on one side only."""
RELATIVE = 1e-4
INTRODUCTION = f"""\
Latents 0 to {LATENTS - 1} of two SAEs on the same {ROWS} rows of 128 tokens, with the published counts (12 top
examples, 7 drawn, 10 random), buffer 10 and no overlap. Rows "exact": the published code without its rounding of
activations to bfloat16 before it chooses (the rounding makes ties, which its sort leaves in no particular order); rows
"as published": with it, where the values of the top examples have to be ours, rounded. Draws are random on both sides:
that the pools they are made from are equal, and that each side's draws lie in them, is what is compared. At most
{FLIPPED} latents may differ in a row: both sides compute the model in float32 in another order.
"""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Chosen positions, pools, thresholds, counts and marked texts of every latent."""
    inputs = work / "in"
    if run:
        for kind, flags in (("exact", ("--float32",)), ("published", ())):
            run_reference(
                "run_autointerp.py", "--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir",
                inputs / "saes", "--saes", ",".join(SAES), "--tokens", inputs / "tokens.safetensors", "--rows", ROWS,
                "--latents", LATENTS, "--out", work / f"autointerp_reference_{kind}.json", *flags,
            )  # fmt: skip
        run_ours("--inputs", inputs, "--saes", ",".join(SAES), "--latents", LATENTS, "--rows", ROWS,
                 "--out", work / "autointerp_ours.json")  # fmt: skip
    ours = read(work / "autointerp_ours.json")["saes"]
    exact, published = (
        read(work / f"autointerp_reference_{kind}.json")["saes"] for kind in ("exact", "published")
    )  # fmt: skip
    rows: list[Row] = []
    for name in SAES:
        rows += _exact(name, exact[name]["latents"], ours[name]["latents"])
        rows.append(_rounded(name, published[name]["latents"], ours[name]["latents"]))
    return rows


def _exact(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    known = [k for k, latent in ours.items() if latent["with_examples"] and theirs[k]["with_examples"]]
    same = sum(ours[k]["with_examples"] == theirs[k]["with_examples"] for k in ours)
    yield _count(f"{name}, exact: latents that have examples, or have none, on both sides", same, len(ours))
    pairs = [(theirs[k], ours[k]) for k in known]
    n = len(pairs)
    yield _count(f"{name}, exact: latents with examples whose top examples are the same, in the same order",
                 sum(a["top"] == b["top"] for a, b in pairs), n)  # fmt: skip
    yield _count(f"{name}, exact: whose pool of draws is the same", sum(a["pool"] == b["pool"] for a, b in pairs), n)
    enough = [(a, b) for a, b in pairs if min(len(a["pool"]), len(b["pool"])) >= 7]
    inside = sum(set(_flat(a["drawn"])) <= set(b["pool"]) and set(b["drawn"]) <= set(a["pool"]) for a, b in enough)
    yield _count(f"{name}, exact: with 7 or more in the pool, whose draws lie in the other side's pool", inside,
                 len(enough))  # fmt: skip
    yield _count(f"{name}, exact: whose threshold of an active token is the same (relative {RELATIVE:g})",
                 sum(close(a["threshold"], b["threshold"], RELATIVE) for a, b in pairs), n)  # fmt: skip
    yield _count(f"{name}, exact: with 7 or more in the pool, with 15 examples to explain and 14 to tell apart",
                 sum((a["n_generation"], a["n_scoring"]) == (b["n_generation"], b["n_scoring"]) == (15, 14)
                     for a, b in enough), len(enough))  # fmt: skip
    texts = [(a, b) for a, b in pairs if a["top"] == b["top"]]
    yield _count(f"{name}, exact: whose top examples have the same marked texts, as far as both show them",
                 sum(_same_texts(a, b) for a, b in texts), len(texts))  # fmt: skip


def _rounded(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Row:
    known = [k for k, latent in ours.items() if latent["with_examples"] and theirs[k]["with_examples"]]
    same = sum(theirs[k]["top_values"] == ours[k]["top_values_rounded"] for k in known)
    what = f"{name}, as published: latents whose top examples have the same activations, rounded to bfloat16"
    return _count(what, same, len(known), flipped=len(known) // 10)


def _count(what: str, same: int, n: int, *, flipped: int = FLIPPED) -> Row:
    return Row(what, float(n), float(same), f"{flipped} fewer", n > 0 and same >= n - flipped)


def _flat(indices: list[list[int]]) -> list[int]:
    return [row * 128 + column for row, column in indices]


def _same_texts(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Windows that both sides show to the explainer look the same; which those are is random."""
    known = {tuple(tokens): text for tokens, text in ours["texts"]}
    both = [(text, known[tuple(tokens)]) for tokens, text in theirs["texts"] if tuple(tokens) in known]
    return bool(both) and all(a == b for a, b in both)


# ---- our side


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


def gather(args: argparse.Namespace) -> dict[str, Any]:
    """Examples of every SAE from one pass, with the seconds and the peak memory."""
    from our_side import load_side
    from safetensors.torch import load_file

    from sae_bench.activations.one_pass import run_pass
    from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
    from sae_bench.evals.autointerp.evaluate import AutoInterpJob
    from sae_bench.evals.base import EvalContext

    lm, members, load_seconds = load_side(args)
    rows_RL = load_file(args.inputs / "tokens.safetensors")["tokens"][: args.rows]
    given: dict[str, Any] = {"override_latents": list(range(args.latents))} if args.latents else {}
    config = AutoInterpEvalConfig(
        total_tokens=rows_RL.numel(), llm_batch_size=32, judge="none", embeddings="minilm", **given
    )
    job = AutoInterpJob(EvalContext(lm, (members[0].hook_name,), (42,)), config, rows_RL=rows_RL)
    start = perf_counter()
    report = run_pass(lm, job.requests(members), members)
    if report.failed:
        raise next(iter(report.failed.values()))
    (gatherer,) = report.served
    kept = dict(gatherer.activations)
    found = {member.sae_id: job.find(member, gatherer) for member in members}
    seconds = {"total": perf_counter() - start, **report.seconds}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    saes = {}
    for member in members:
        of = found[member.sae_id]
        activations = kept[member.key].by_latent() if args.latents else {}
        saes[member.sae_id] = {
            "with_examples": len(of.latents) - len(of.without),
            "n_latents": len(of.latents),
            "latents": {str(k): _describe(of, k, activations[k], job) for k in of.latents} if args.latents else {},
        }
    return {"saes": saes, "seconds": seconds, "peak_rss_mb": peak, "model_load_s": load_seconds}


def _describe(found: Any, latent: int, activations: Any, job: Any) -> dict[str, Any]:
    """What the two sides compare of one latent."""
    import torch

    from sae_bench.evals.autointerp.sampling import WindowRules, drawn_places, top_places

    position_E, value_E = activations
    rules = WindowRules.of(job.config)
    top = top_places(position_E, value_E, rules)
    examples = found.examples.get((42, latent))
    described: dict[str, Any] = {"with_examples": examples is not None}
    if examples is None:
        return described
    below = float(value_E[top[-1]])
    pool_E = rules.centred(position_E) & (value_E < below)
    drawn = drawn_places(latent, position_E, value_E, rules, below=below, seed=42)
    return described | {
        "top": [list(divmod(int(position_E[place]), rules.row_length)) for place in top],
        "top_values_rounded": value_E[top].to(torch.bfloat16).float().tolist(),
        "pool": position_E[pool_E].tolist(),
        "drawn": position_E[drawn].tolist(),
        "threshold": examples.generation[0].threshold,
        "n_generation": len(examples.generation),
        "n_scoring": len(examples.scoring),
        "texts": [[list(e.token_ids), job.corpus.text(e, mark=True)] for e in examples.generation],
    }


def main() -> None:
    """Our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--saes", type=lambda text: text.split(","), default=list(SAES))
    parser.add_argument("--latents", type=int, default=0, help="the first so many; not given: drawn from the live ones")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    content = gather(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content))


if __name__ == "__main__":
    main()
