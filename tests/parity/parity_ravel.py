"""ravel against the published package.

python tests/parity/parity_ravel.py export --inputs IN
python tests/parity/parity_ravel.py evaluate --inputs IN --out OURS.json --saes topk
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row, equal

TITLE = "RAVEL"
SAES = ("topk",)
SEEDS = (42, 43, 44)
ATTRIBUTES = ("Country", "Continent")
ASKED, PAIRS, PAIRS_PER_STEP = 320, 40, 8
"""Prompts that are completed; cause pairs, and as many isolation pairs; sizes that leave no batch unfilled."""
SETTINGS = {"num_epochs": 2, "learning_rate": 1e-3, "n_tokens": 6}
WITHIN = 0.03
INTRODUCTION = f"""`sae-bench==0.6.0` with the entity's position mended, on the same token ids: {ASKED} prompts of `embedded/cities`
(country, continent) are completed and judged by both sides; then {2 * PAIRS} pairs on the country, {len(SEEDS)} seeds, 70 % for training in
steps of {PAIRS_PER_STEP}. Under given masks cause and isolation are equal; under masks that each side trains their means agree
within {WITHIN}. Pairs are sorted into cause and isolation as the published code does, by first tokens.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Completions, rules, scores under given masks and under trained ones."""
    inputs = work / "in"
    if run:
        run_ours("export", "--inputs", inputs)
        run_published(work, SAES, work / "ravel_reference.json", "--given-masks")
        run_ours("evaluate", "--inputs", inputs, "--out", work / "ravel_ours.json", "--saes", ",".join(SAES))
    given, theirs, ours = (read(path) for path in (
        inputs / "ravel.json", work / "ravel_reference.json", work / "ravel_ours.json"
    ))  # fmt: skip
    rows = list(_completions(given, theirs["completions"]))
    agreed = sum(a == b for a, b in zip(theirs["rules"], given["rules_ours"], strict=True))
    rows.append(Row("completions judged alike by the rules", len(theirs["rules"]), agreed, "equal",
                    agreed == len(theirs["rules"])))  # fmt: skip
    for sae in SAES:
        rows += _scores(sae, theirs["saes"][sae]["seeds"], ours["saes"][sae]["seeds"])
    return rows


def _completions(given: Mapping[str, Any], theirs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    ours = given["asked"]
    n = len(ours)
    for key in ("first_token", "correct"):
        same = sum(a[key] == b[key] for a, b in zip(theirs, ours, strict=True))
        yield Row(f"completions with the same {key.replace('_', ' ')}", n, same, "equal", same == n)
    known = [sum(answer["correct"] for answer in side) for side in (theirs, ours)]
    yield Row("known prompts", known[0], known[1], "equal", known[0] == known[1])


def _scores(sae: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    for kind in ("cause", "isolation"):
        for seed in map(str, SEEDS):
            for mask, of in ours[seed]["given"].items():
                published = theirs[seed]["given"][mask][kind]
                yield equal(f"{sae} seed {seed}, mask '{mask}', {kind}", published, of[kind], relative=1e-6)
        values = [[side[str(seed)]["trained"][kind] for seed in SEEDS] for side in (theirs, ours)]
        a, b = map(fmean, values)
        what = f"{sae} trained masks, {kind}, mean over {len(SEEDS)} seeds"
        yield Row(what, a, b, f"{WITHIN:g}", abs(a - b) <= WITHIN)
    for seed in map(str, SEEDS):
        a, b = (set(side[seed]["trained"]["chosen"]) for side in (theirs, ours))
        what = f"{sae} seed {seed}: latents chosen by training (ours: those of them that both choose)"
        yield Row(what, len(a), len(a & b), "stated", True)


def run_published(work: Path, saes: Sequence[str], out: Path, *arguments: object) -> None:
    """The published eval on some SAEs."""
    inputs = work / "in"
    run_reference(
        "run_ravel.py", "--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir", inputs / "saes",
        "--saes", ",".join(saes), "--prompts", inputs / "ravel.json", "--out", out, *arguments,
    )  # fmt: skip


# ---- our side


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


def export(args: argparse.Namespace) -> None:
    """Prompts with our completions, pairs of every seed, masks, and samples of the rules."""
    import torch
    from our_side import write_json

    from sae_bench.datasets.entities import load_entity_class
    from sae_bench.evals.ravel.completions import answer_prompts
    from sae_bench.evals.ravel.correctness import is_correct
    from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
    from sae_bench.evals.ravel.pairs import draw_pairs
    from sae_bench.evals.ravel.prompts import questions_of, tokenize_questions
    from sae_bench.language_models import load_language_model
    from sae_bench.seeding import named_generator

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    start = perf_counter()
    questions = questions_of(load_entity_class("embedded/cities", "city"), ATTRIBUTES, downsample=ASKED)
    answers = answer_prompts(lm, tokenize_questions(lm, questions), n_tokens=SETTINGS["n_tokens"])
    seconds = perf_counter() - start
    known = [answer for answer in answers if answer.correct]
    config = RAVELEvalConfig(num_pairs_per_attribute=PAIRS)
    seeds = {}
    for seed in SEEDS:
        (country, *_) = draw_pairs(known, "city", ATTRIBUTES, config, seed=seed)
        rows = [[pair.base, pair.source, int(pair.is_cause)] for pair in (*country.train, *country.test)]
        rows = rows[: len(rows) // (5 * PAIRS_PER_STEP) * 5 * PAIRS_PER_STEP]
        n_train = int(0.7 * len(rows)) // PAIRS_PER_STEP * PAIRS_PER_STEP
        seeds[seed] = {"train": rows[:n_train], "test": rows[n_train : n_train + 3 * PAIRS_PER_STEP]}
    width = read(args.inputs / "saes" / f"{SAES[0]}.json")["d_sae"]
    half = torch.randperm(width, generator=named_generator("parity", "ravel", "mask"))[: width // 2]
    masks = {"all": list(range(width)), "half": sorted(half.tolist()), "none": []}
    write_json(
        args.inputs / "ravel.json",
        {
            **SETTINGS,
            "pairs_per_step": PAIRS_PER_STEP,
            "asked": [_prompt(answer) for answer in answers],
            "prompts": [_prompt(answer) for answer in known],
            "seeds": seeds,
            "masks": masks,
            "rules": [list(sample) for sample in samples()],
            "rules_ours": [is_correct(*sample) for sample in samples()],
            "seconds": seconds,
        },
    )


def _prompt(answer: Any) -> dict[str, Any]:
    question = answer.prompt.question
    return {
        "text": question.text, "value": question.value, "ids": list(answer.prompt.ids),
        "position": answer.prompt.position, "first_token": answer.first_token, "correct": answer.correct,
        "completion": answer.completion, "entity": question.entity, "attribute": question.attribute,
        "template": question.template,
    }  # fmt: skip


def samples() -> list[tuple[str, str, str]]:
    """Prompts, values and completions that meet every rule."""
    texts = ("is in", "the language is", "latitude of Oslo:", "longitude:", "coordinates", "UTC", '"timezone": "')
    values = (
        "Norway", "United States", "United Kingdom", "South Korea", "North America", "Mandarin Chinese",
        "French,German", "59", "-77", "\u221277", "America/Lima", "Asia/Kolkata", "Asia/Tokyo", "Nowhere/Land", "",
    )  # fmt: skip
    said = (
        "", " Norway", " Nor", '"', ' Norway", "x', " the United States", " England", " Korea", "north america",
        " NA",
        " Chinese", " german", " 60.2", "76 W", "-5", "-05:00", "+5:30", "+9", "+19", " Asia\\/Tokyo", " america",
        "-10",
    )  # fmt: skip
    return [(text, value, completion) for text in texts for value in values for completion in said]


def evaluate(args: argparse.Namespace) -> None:
    """The same pairs, under the given masks and under masks of our training; writes one JSON file."""
    import resource

    from our_side import load_side, write_json

    from sae_bench.evals.ravel.entity_class import KnownClass, score, score_together, train_masks
    from sae_bench.evals.ravel.evaluate import latent_masks
    from sae_bench.evals.ravel.pairs import Pair, PairSplit
    from sae_bench.evals.ravel.prompts import Answer, Prompt, Question
    from sae_bench.evals.ravel.swaps import LatentMask, encode_entities
    from sae_bench.evals.ravel.training import Schedule

    args.dtype = "float32"
    lm, members, load_seconds = load_side(args)
    given = read(args.inputs / "ravel.json")
    known = [
        Answer(
            Prompt(Question(p["entity"], p["attribute"], p["template"], p["value"]), tuple(p["ids"]), p["position"]),
            p["completion"], p["first_token"], True,
        )
        for p in given["prompts"]
    ]  # fmt: skip
    splits = [
        PairSplit(
            "city", ATTRIBUTES[0], int(seed),
            *(tuple(Pair(base, source, bool(c)) for base, source, c in split[part]) for part in ("train", "test")),
        )
        for seed, split in given["seeds"].items()
    ]  # fmt: skip
    of_class = KnownClass("city", {}, tuple(known), tuple(splits))
    start = perf_counter()
    states = of_class.states(lm, members[0].hook_name, n_tokens=given["n_tokens"])
    prepare_seconds = perf_counter() - start
    schedule = Schedule(given["pairs_per_step"], given["num_epochs"], given["learning_rate"])
    start = perf_counter()
    swaps_of = train_masks(of_class, states, [latent_masks(member) for member in members], schedule)
    trained_of = score_together(of_class, states, swaps_of)
    seconds = (perf_counter() - start) / len(members)
    found: dict[str, Any] = {}
    for member, swaps, trained in zip(members, swaps_of, trained_of, strict=True):
        latents = encode_entities(member.sae, states.value_NW)
        masks = {}
        for name, chosen in given["masks"].items() if args.given_masks else ():
            mask = LatentMask(latents, lm.device)
            mask.mask_F = mask.mask_F.detach()
            mask.mask_F[chosen] = 1.0
            masks[name] = score(of_class, states, [mask] * len(splits))
        seeds: dict[str, Any] = {}
        for place, (outcome, swap) in enumerate(zip(trained, swaps, strict=True)):
            chosen = (swap.mask_F > 0).nonzero()[:, 0].tolist()
            seeds[str(outcome.seed)] = {
                "trained": {**_pair(outcome), "chosen": chosen},
                "given": {name: _pair(of[place]) for name, of in masks.items()},
            }
        found[member.sae_id] = {"seeds": seeds, "seconds": seconds}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(
        args.out,
        {"saes": found, "prepare_s": prepare_seconds, "model_load_s": load_seconds, "peak_rss_mb": peak,
         "completions_s": given["seconds"]},
    )  # fmt: skip


def _pair(outcome: Any) -> dict[str, float | None]:
    cause, isolation = outcome.by_first_token()
    return {"cause": cause, "isolation": isolation}


def main() -> None:
    """Run one command of our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("export", "evaluate"))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--saes", type=lambda text: text.split(","), default=list(SAES))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-given-masks", dest="given_masks", action="store_false")
    args = parser.parse_args()
    (export if args.command == "export" else evaluate)(args)


if __name__ == "__main__":
    main()
