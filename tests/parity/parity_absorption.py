"""absorption against the published package.

python tests/parity/parity_absorption.py export --inputs IN --words-out WORDS.json --n-words 1560
python tests/parity/parity_absorption.py run --inputs IN --words WORDS.json --saes topk,jumprelu --out OURS.json
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row, means

TITLE = "Absorption"
SAES = ("topk", "jumprelu")
SEEDS = (42, 43, 44)
WORDS = 1040
WITHIN = 0.02
SPLITS_WITHIN = 0.1
"""Latents per letter are small whole numbers: their mean over 26 letters moves in steps of 0.04."""
STEP = 128
"""Words in a training step of the probe that ranks latents: as many steps as 4096 of all words would give."""
INTRODUCTION = f"""`sae-bench==0.6.0`, {WORDS} words of the vocabulary of SmolLM2-135M-Instruct (40 a letter), the same
prompts and the same split into training and test words on both sides, layer 10, {len(SEEDS)} seeds (of splits and
probes). The published settings, except that every letter counts (`min_GT_probe_f1` 0, `min_feats_for_eval` 1) and that
the probe that ranks latents takes {STEP} words a step, so that these few words make as many steps as the whole
vocabulary does. "Fraction" is the definition of the published results, on the published side computed from its probes,
latents and activations; "thresholded" is the one of 0.6.0. Means over seeds agree within {WITHIN} or two standard
errors of their difference.
"""
METRICS = {
    "fraction": ("older_absorption_fraction_score", "mean_absorption_fraction_score", WITHIN),
    "fraction, thresholded": (
        "mean_absorption_fraction_score", "mean_absorption_fraction_thresholded_score", WITHIN
    ),
    "full absorption": ("mean_full_absorption_score", "mean_full_absorption_score", WITHIN),
    "latents per letter": ("mean_num_split_features", "mean_num_split_features", SPLITS_WITHIN),
}  # fmt: skip
"""What -> the published package's field, ours, and the difference that is allowed at least."""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Headline numbers and the words that the letter probes get right."""
    inputs, words = work / "in", work / "absorption_words.json"
    theirs_file, ours_file = work / "absorption_reference.json", work / "absorption_ours.json"
    listed = ",".join(map(str, SEEDS))
    if run:
        run_ours("export", "--inputs", inputs, "--words-out", words, "--n-words", WORDS, "--seeds", listed)
        run_reference(
            "run_absorption.py", *published_inputs(inputs, words), "--saes", ",".join(SAES), "--seeds", listed,
            "--remember", "--precalculate", "--step", STEP, "--out", theirs_file,
        )  # fmt: skip
        run_ours(
            "run",
            "--inputs",
            inputs,
            "--words",
            words,
            "--saes",
            ",".join(SAES),
            "--seeds",
            listed,
            "--step",
            STEP,
            "--out",
            ours_file,
        )
    theirs, ours = read(theirs_file), read(ours_file)
    return [row for sae in SAES for row in _rows(sae, theirs["seeds"], ours["saes"][sae])]


def published_inputs(inputs: Path, words: Path) -> tuple[object, ...]:
    """The flags that name the inputs of the published package's side."""
    return (
        "--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir", inputs / "saes", "--words", words
    )  # fmt: skip


def _rows(sae: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    for what, (field, own, within) in METRICS.items():
        published = [theirs[str(seed)][sae]["metrics"][field] for seed in SEEDS]
        values = [ours["seeds"][str(seed)][f"mean.{own}"] for seed in SEEDS]
        yield means(f"{sae} {what}", published, values, within=within)
    found = [sum(row["num_probe_true_positives"] for row in theirs[str(seed)][sae]["details"]) for seed in SEEDS]
    counts = [
        float(sum(of["num_probe_true_positives"] for of in ours["letters"][str(seed)].values())) for seed in SEEDS
    ]
    yield means(f"{sae} test words that the letter probes get right", found, counts, within=0.02 * WORDS / 5)


# ---- our side


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


def export(args: argparse.Namespace) -> None:
    """Words, the whole prompt of each, and the split of every seed."""
    from our_side import write_json

    from sae_bench.evals.absorption.eval_config import WORD, AbsorptionEvalConfig
    from sae_bench.evals.absorption.prompts import build_prompts
    from sae_bench.evals.absorption.words import letter_words, split_words
    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    config = AbsorptionEvalConfig(max_words=args.n_words)
    words = letter_words(lm, config)
    tokenizer: Any = lm.tokenizer
    rest = config.prompt_template.partition(WORD)[2]
    prompts = []
    for ids in build_prompts(lm, words.words, config).token_ids:
        own = ids[1:] if lm.prepend_bos else ids
        text = tokenizer.decode(own, clean_up_tokenization_spaces=False) + rest
        if tokenizer(text, add_special_tokens=False)["input_ids"][: len(own)] != own:
            raise SystemExit(f"the prompt {text!r} does not come back as the same tokens.")
        prompts.append(text)
    splits = {
        seed: dict(zip(("train", "test"), (rows.tolist() for rows in split_words(words, seed)), strict=True))
        for seed in args.seeds
    }
    write_json(args.words_out, {"words": words.words, "prompts": prompts, "splits": splits, "hook_layer": 10})


def evaluate(args: argparse.Namespace) -> None:
    """The eval on the same model, SAEs, words, prompts and splits; writes one JSON file."""
    from our_side import load_side, write_json

    from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
    from sae_bench.evals.absorption.evaluate import AbsorptionJob
    from sae_bench.evals.base import EvalContext

    args.dtype = "float32"
    lm, members, load_seconds = load_side(args)
    given = read(args.words)["words"]
    config = AbsorptionEvalConfig(
        max_words=len(given), words_per_examples=args.together, k_sparse_probe_batch_size=args.step
    )
    hook, seconds = members[0].hook_name, {}
    start = perf_counter()
    job = AbsorptionJob(EvalContext(lm, (), tuple(args.seeds)), config)
    seconds["words_and_prompts"] = perf_counter() - start
    if list(job.words.words) != given:
        raise SystemExit("the words are not those of the other side.")
    start = perf_counter()
    job.read_prompts([hook])
    seconds["lm_pass"] = perf_counter() - start
    start = perf_counter()
    job.prepared_at(hook)
    seconds["lm_probes"] = perf_counter() - start
    saes: dict[str, Any] = {}
    for member in members:
        start = perf_counter()
        scores = job.score(member)
        saes[member.sae_id] = {
            "seconds": {"after": perf_counter() - start},
            "metrics": scores.metrics.model_dump()["mean"],
            "seeds": {str(r.seed): r.metrics for r in scores.seed_results},
            "letters": scores.unstructured["seeds"],
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(args.out, {"saes": saes, "seconds": seconds, "peak_rss_mb": peak, "model_load_s": load_seconds})


def _names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command of our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("export", "run"))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--words", type=Path, help="what export wrote")
    parser.add_argument("--words-out", type=Path)
    parser.add_argument("--n-words", type=int, default=WORDS)
    parser.add_argument("--together", type=int, default=1, help="words that share their examples")
    parser.add_argument("--step", type=int, default=4096, help="words in a step of the probe that ranks latents")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--saes", type=_names, default=list(SAES))
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in _names(text)], default=list(SEEDS))
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(argv)
    export(args) if args.command == "export" else evaluate(args)


if __name__ == "__main__":
    main()
