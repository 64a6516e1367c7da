"""scr and tpp against the published package.

python tests/parity/parity_scr_and_tpp.py export --inputs IN
python tests/parity/parity_scr_and_tpp.py scr --inputs IN --out OURS.json --seeds 42,43,44
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from reference import read, run_reference
from rows import Row, means

TITLE = "SCR and TPP"
SAES = ("topk", "jumprelu")
SEEDS = (42, 43, 44)
OUR_SEEDS = tuple(range(42, 74))
"""Ours cost next to nothing; three alone would not tell how far probes differ from seed to seed."""
N_VALUES = (2, 5, 10, 20, 50, 100, 500)
WITHIN = 0.02
LEAKING = ("topk", 42)
"""The SAE and seed for which the published code also runs with the leak of its padding."""
DATASET = "embedded/emotions_by_address"
SIZES = {"scr": (400, 176, 24), "tpp": (400, 100, 32)}
"""Training texts, test texts and tokens of a text."""
KEYS = {
    "scr": tuple(f"scr_{kind}_threshold_{n}" for kind in ("metric", "dir1", "dir2") for n in N_VALUES),
    "tpp": tuple(
        f"tpp_threshold_{n}_{kind}"
        for kind in ("total_metric", "intended_diff_only", "unintended_diff_only")
        for n in N_VALUES
    ),
}
INTRODUCTION = f"""`sae-bench==0.6.0` with its masks repaired (codes of padding set to zero before the ablated activations are
pooled), {len(SEEDS)} seeds there and {len(OUR_SEEDS)} here, every N; both sides read the same token ids. SCR: tweets, two pairs of emotions, second
attribute "addresses a user", {SIZES["scr"][0]} training and {SIZES["scr"][1]} test texts per probe, {SIZES["scr"][2]} tokens. TPP: news topics and code
languages, {SIZES["tpp"][0]} and {SIZES["tpp"][1]} texts, {SIZES["tpp"][2]} tokens. Means over seeds agree within {WITHIN} or two standard errors of their
difference. The last rows are the published code as it is, with the leak of its padding, beside itself repaired.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Every published field of both evals, the accuracies before ablation, and what the leak does."""
    inputs = work / "in"
    if run:
        run_ours("export", "--inputs", inputs)
        for name in ("scr", "tpp"):
            run_published(work, name)
            run_ours(name, "--inputs", inputs, "--out", work / f"{name}_ours.json", "--seeds", _listed(OUR_SEEDS))
    rows: list[Row] = []
    for name in ("scr", "tpp"):
        theirs = read(work / f"{name}_reference.json")
        ours = read(work / f"{name}_ours.json")
        rows += _clean(name, theirs["seeds"], ours["clean"])
        for sae in SAES:
            rows += _scores(name, sae, theirs["seeds"], ours["saes"][sae]["seeds"])
        if name == "scr":
            rows += _leak(theirs)
    return rows


def run_published(work: Path, name: str) -> None:
    """The published eval on all SAEs and seeds; what it makes of the language model is kept for all of them."""
    inputs, (train, test, length) = work / "in", SIZES[name]
    leak = ("--leak-saes", LEAKING[0], "--leak-seeds", LEAKING[1]) if name == "scr" else ()
    run_reference(
        "run_scr_and_tpp.py", "--eval", name, "--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir",
        inputs / "saes", "--saes", ",".join(SAES), "--texts", inputs / f"{name}_texts.json", "--seeds", _listed(SEEDS),
        "--train-size", train, "--test-size", test, "--context-length", length, "--n", _listed(N_VALUES),
        "--out", work / f"{name}_reference.json", *leak,
    )  # fmt: skip


def _listed(values: Sequence[int]) -> str:
    return ",".join(map(str, values))


# ---- rows


def _scores(name: str, sae: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    category = f"{name}_metrics"
    for key in KEYS[name]:
        published = [theirs[str(seed)][sae]["metrics"][category].get(key) for seed in SEEDS]
        values = [of_seed.get(f"{category}.{key}") for of_seed in ours.values()]
        yield means(f"{name} {sae} {key}", _known(published), _known(values), within=WITHIN)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _clean(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Mapping[str, float]]) -> Iterator[Row]:
    """Accuracies of the probes before ablation: what the scores start from."""
    published: dict[str, list[float]] = {}
    for seed in SEEDS:
        for place, accuracies in enumerate(theirs[str(seed)][SAES[0]]["clean"]):
            for probe, accuracy in accuracies.items():
                published.setdefault(f"{place} {probe}", []).append(accuracy)
    for what, values in ours.items():
        yield means(f"{name} accuracy before ablation, {what}", published[what], list(values.values()), within=WITHIN)


def _leak(theirs: Mapping[str, Any]) -> Iterator[Row]:
    """What the leak of the padding changes, of the published code alone."""
    sae, seed = LEAKING
    repaired, leaking = (theirs[kind][str(seed)][sae]["metrics"]["scr_metrics"] for kind in ("seeds", "leaking"))
    for n in N_VALUES:
        for kind in ("dir1", "dir2"):
            key = f"scr_{kind}_threshold_{n}"
            what = f"scr {sae} {key}, seed {seed}: published as it is | repaired"
            yield Row(what, leaking[key], repaired[key], "stated", True)


# ---- our side


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


def export(args: argparse.Namespace) -> None:
    """Token ids of all tweets with class and attribute, and of the first texts of each class of two sets."""
    from our_side import write_json

    from sae_bench.datasets import get_spec, load_tables
    from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig
    from sae_bench.evals.scr_and_tpp.texts import pairs_of
    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    tables, spec = load_tables(DATASET), get_spec(DATASET)
    rows = {
        split: [
            {"ids": ids, "class": label, "attribute": balance}
            for ids, label, balance in zip(
                lm.tokenize(frame["text"].tolist(), max_length=SIZES["scr"][2]),
                frame["label"],
                frame["balance"],
                strict=True,
            )
        ]
        for split, frame in (("train", tables.train), ("test", tables.test))
    }
    pairs = pairs_of(spec, ScrEvalConfig())
    write_json(args.inputs / "scr_texts.json", {"pairs": pairs, "attribute": list(spec.balance_values), **rows})
    _, n_test, length = SIZES["tpp"]
    texts = {
        name: {
            "classes": texts["classes"],
            "train": {c: [ids[:length] for ids in of] for c, of in texts["train"].items()},
            "test": {c: [ids[:length] for ids in of[: n_test // 2]] for c, of in texts["test"].items()},
        }
        for name, texts in read(args.inputs / "texts.json").items()
    }
    write_json(args.inputs / "tpp_texts.json", texts)


def evaluate(args: argparse.Namespace) -> None:
    """One eval on the same model, SAEs, token ids and seeds; writes one JSON file."""
    from our_side import load_side, scored, serve, write_json

    from sae_bench.activations.requests import PooledValues, only

    args.threads, args.dtype, args.saes = args.threads, "float32", list(args.saes)
    lm, members, load_seconds = load_side(args)
    job = _job(args, lm, members[0].hook_name)
    report = serve(lm, job, members)
    start = perf_counter()
    at_hook = job.prepared_at(members[0].hook_name, only(report.served, PooledValues))
    lm_probes = perf_counter() - start  # timed apart from the first SAE's score
    result = scored(job, members, report)
    result["model_load_s"] = load_seconds
    result["seconds"]["lm_probes"] = lm_probes
    result["seconds"]["total"] += lm_probes
    for of_sae in result["saes"].values():
        of_sae["seconds"]["after"] = of_sae["seconds"]["score"]
    result["clean"] = clean_accuracies(at_hook.prepared)
    write_json(args.out, result)


def _job(args: argparse.Namespace, lm: Any, hook: str) -> Any:
    from our_side import given_texts

    from sae_bench.evals.base import EvalContext
    from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig, TppEvalConfig
    from sae_bench.evals.scr_and_tpp.evaluate import ScrJob, TppJob

    train, test, length = SIZES[args.eval]
    sizes = {"train_set_size": train, "test_set_size": test, "context_length": length, "n_values": list(N_VALUES)}
    context = EvalContext(lm, (hook,), tuple(args.seeds))
    if args.eval == "scr":
        return ScrJob(context, ScrEvalConfig(dataset_names=[DATASET], **sizes))
    texts = read(args.inputs / "tpp_texts.json")
    labelled = given_texts(lm, texts)
    return TppJob(context, TppEvalConfig(dataset_names=list(texts), **sizes), labelled=labelled)


def clean_accuracies(prepared: Any) -> dict[str, dict[str, float]]:
    """`<place of the data set> <published name of the probe>` -> seed -> accuracy before ablation."""
    from sae_bench.evals.scr_and_tpp import scr

    found: dict[str, dict[str, float]] = {}
    if isinstance(prepared, scr.PreparedScr):
        nothing = [0.0 * base_U[None, None] for base_U in prepared.base_AU]
        published = {1: "professor / nurse", 2: "male / female"}
        for place, result in enumerate(scr.score_scr(prepared, nothing, [1])):
            for seed, directions in result.by_seed.items():
                for direction, name in published.items():
                    of = directions[direction]
                    biased = f"male_professor / female_nurse probe on {name} data"
                    found.setdefault(f"{place} {name}", {})[str(seed)] = of.clean
                    found.setdefault(f"{place} {biased}", {})[str(seed)] = of.original
        return found
    for place, dataset in enumerate(prepared.datasets):
        for seed in prepared.seeds:
            measured = prepared.measured[dataset.name, seed]
            accuracies = measured.right(measured.base_CU).double().mean(dim=1).tolist()
            for name, accuracy in zip(dataset.classes, accuracies, strict=True):
                found.setdefault(f"{place} {name}", {})[str(seed)] = accuracy
    return found


def main() -> None:
    """Run one command of our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval", choices=("export", "scr", "tpp"))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--saes", type=lambda text: text.split(","), default=list(SAES))
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=list(SEEDS))
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.eval == "export":
        export(args)
    else:
        evaluate(args)


if __name__ == "__main__":
    main()
