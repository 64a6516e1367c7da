"""unlearning against the published package.

python tests/parity/parity_unlearning.py export --inputs IN
python tests/parity/parity_unlearning.py compare --inputs IN --reference REFERENCE.json --out OURS.json
python tests/parity/parity_unlearning.py measure --inputs IN --saes topk --out OURS.json
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reference import read, run_reference
from rows import Row

TITLE = "Unlearning"
SAES = ("topk",)
FORGET, KEEP = "wmdp-bio", "everyday"
"""What the sets are called on both sides: the published code knows the set to be forgotten by this name."""
QUESTIONS = 3
"""Questions of each set that are asked under every setting."""
ORDER_QUESTIONS = 1
"""Questions of each set that are asked in all orders."""
ROWS = (2, 64)
"""Packed rows of each corpus, and their tokens."""
GRID = {"retain_thresholds": [0.05, 0.5], "n_features_list": [5], "multipliers": [5, 50]}
BATCH = 4
N_CTX = 512
"""Positions for which TransformerLens keeps its masks; shorter ones change no value."""
FLIPPED_LATENTS = 5
"""Latents that may be active on one token more or fewer: an activation within rounding of a threshold."""
LOG_PROBABILITY = 1e-4
"""Largest allowed difference of the letters' log-probabilities, in nats: ten times what float32 rounding of the two
implementations of the model was measured to give, with and without clamps."""
INTRODUCTION = f"""`sae-bench==0.6.0` and this package on the same questions, packed rows and SAEs, letters format. To be forgotten:
{QUESTIONS} questions of geography under the name `{FORGET}`; to be kept: {QUESTIONS} questions of everyday language. All of them are taken for
known on both sides, and the prompt is Gemma's chat format with the model's own BOS. Sparsities are measured on {ROWS[0]} rows of
{ROWS[1]} tokens of each corpus; retain thresholds {GRID["retain_thresholds"]}, {GRID["n_features_list"][0]} latents, multipliers {GRID["multipliers"]}. Accuracies have to be equal
under the latents and multipliers that the published code clamps; beside them stand the largest difference of the letters' log-probabilities,
the latents that each side chooses, and the score. {ORDER_QUESTIONS} question of each set is asked in all 24 orders, with and
without the question.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Orders, sparsities, latents, accuracies under every setting, scores."""
    inputs, theirs, ours = work / "in", work / "unlearning_reference.json", work / "unlearning_ours.json"
    if run:
        run_ours("export", "--inputs", inputs)
        run_published(inputs, SAES, theirs, "--order-questions", ORDER_QUESTIONS, "--n-ctx", N_CTX, **GRID)
        run_ours("compare", "--inputs", inputs, "--reference", theirs, "--out", ours)
    published, found = read(theirs), read(ours)
    rows = [*_orders(published["orders"], found["orders"])]
    for sae in SAES:
        rows += _sae(sae, published["saes"][sae], found["saes"][sae])
    return rows


def run_published(
    inputs: Path,
    saes: Sequence[str],
    out: Path,
    *more: object,
    retain_thresholds: Sequence[float] = (0.001, 0.01),
    n_features_list: Sequence[int] = (10, 20),
    multipliers: Sequence[int] = (25, 50, 100, 200),
) -> None:
    """The published eval; the default grid is the published one."""
    run_reference(
        "run_unlearning.py", "--model", inputs / "model", "--meta", inputs / "meta.json", "--sae-dir", inputs / "saes",
        "--saes", ",".join(saes), "--questions", inputs / "unlearning_questions.json", "--rows",
        inputs / "unlearning_rows.safetensors", "--retain-thresholds", ",".join(map(str, retain_thresholds)),
        "--n-features", ",".join(map(str, n_features_list)), "--multipliers", ",".join(map(str, multipliers)),
        "--batch-size", BATCH, "--out", out, *more,
    )  # fmt: skip


def run_ours(*arguments: object) -> None:
    """Run this file in this environment, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environment)


# ---- rows


def _equal(what: str, theirs: float, ours: float) -> Row:
    return Row(what, theirs, ours, "equal", theirs == ours)


def _orders(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    for name, of_set in theirs.items():
        for what, right_QO in of_set.items():
            mine_QO = ours[name][what]
            label = f"{name}, right answers in 24 orders {what} the question"
            yield _equal(label, sum(map(sum, right_QO)), sum(map(sum, mine_QO)))
            pairs = [
                (a, b) for row, mine in zip(right_QO, mine_QO, strict=True) for a, b in zip(row, mine, strict=True)
            ]
            yield _equal(f"{label}: answers that differ, of {len(pairs)}", 0, sum(a != b for a, b in pairs))


def _sae(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Row]:
    for corpus in ("forget", "retain"):
        n_tokens = ours["n_tokens"][corpus]
        off = [round(abs(a - b) * n_tokens, 3) for a, b in zip(theirs[corpus], ours[corpus], strict=True)]
        flipped = sum(tokens > 0.01 for tokens in off)
        good = max(off) <= 1.01 and flipped <= FLIPPED_LATENTS
        what = f"{name} {corpus} sparsity, largest difference in tokens of {n_tokens} over {len(off)} latents"
        yield Row(what, 0.0, max(off), f"one token in {FLIPPED_LATENTS} latents ({flipped})", good)
    for mine, setting in zip(ours["settings"], theirs["settings"], strict=True):
        latents, n_other = setting["latents"], mine["latents_of_another_share"]
        what = f"{name} retain {setting['retain_threshold']:g}, {len(latents)} latents"
        if setting["multiplier"] == GRID["multipliers"][0]:
            yield _equal(f"{what}: places where a latent of another forget share is chosen", 0, n_other)
        what += f", multiplier {setting['multiplier']}"
        for of_set, answers in setting["answers"].items():
            right = answers["right"]
            yield _equal(f"{what}: accuracy on {of_set}", sum(right) / len(right), mine["accuracies"][of_set])
        yield _within(f"{what}: largest difference of a log-probability", mine["log_probability_difference"])
    yield _within(f"{name} without clamps: largest difference of a log-probability", ours["untouched_difference"])
    yield _equal(f"{name} unlearning_score", theirs["unlearning_score"], ours["unlearning_score"])


def _within(what: str, difference: float) -> Row:
    return Row(what, 0.0, difference, f"{LOG_PROBABILITY:g}", difference <= LOG_PROBABILITY)


# ---- our side


def export(args: argparse.Namespace) -> None:
    """Questions, prompt format and packed rows for both sides."""
    from itertools import islice

    from our_side import write_json
    from safetensors.torch import save_file

    from sae_bench.datasets.multiple_choice import EVERYDAY, GEOGRAPHY, load_questions
    from sae_bench.evals.unlearning.corpora import open_texts, pack
    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    sets = {}
    for name, source in ((FORGET, GEOGRAPHY), (KEEP, EVERYDAY)):
        questions = load_questions(source, max_questions=args.questions, seed=1).questions
        sets[name] = [{"question": q.text, "choices": list(q.choices), "answer": q.answer} for q in questions]
    bos = lm.tokenizer.bos_token
    form = f"{bos}<start_of_turn>user\n{{prompt}}<end_of_turn>\n<start_of_turn>model\n"
    write_json(args.inputs / "unlearning_questions.json", {"format": form, "sets": sets})
    n, length = args.rows
    packed = {
        name: pack(islice(open_texts(source).texts, 4 * n), lm, name=source, length=length, max_rows=n)
        for name, source in (("forget", GEOGRAPHY), ("retain", EVERYDAY))
    }
    save_file(packed, args.inputs / "unlearning_rows.safetensors")


class OurSide:
    """The eval on the exported files."""

    def __init__(self, args: argparse.Namespace, **settings: Any) -> None:
        from our_side import load_side
        from safetensors.torch import load_file

        from sae_bench.datasets.multiple_choice import Question, QuestionSet
        from sae_bench.evals.base import EvalContext
        from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
        from sae_bench.evals.unlearning.evaluate import UnlearningData, UnlearningJob, given_questions

        args.dtype = "float32"
        self.lm, self.members, self.load_seconds = load_side(args)
        given = read(args.inputs / "unlearning_questions.json")
        before, after = given["format"].removeprefix(self.lm.tokenizer.bos_token).split("{prompt}")
        template = "{{ bos_token }}" + repr_jinja(before) + "{{ messages[0]['content'] }}" + repr_jinja(after)
        self.lm.tokenizer.chat_template = template
        subjects = {FORGET: "biology", KEEP: KEEP}
        self.sets = [
            QuestionSet(
                name,
                subjects[name],
                tuple(
                    Question(i, row["question"], tuple(row["choices"]), row["answer"])
                    for i, row in enumerate(questions)
                ),
                {},
            )
            for name, questions in given["sets"].items()
        ]
        rows = load_file(args.inputs / "unlearning_rows.safetensors")
        known = [given_questions(of_set, range(len(of_set.questions))) for of_set in self.sets]
        config = UnlearningEvalConfig(
            dataset_names=list(subjects), forget_dataset=FORGET, llm_batch_size=BATCH, **settings
        )
        context = EvalContext(self.lm, (self.members[0].hook_name,), (42,))
        self.job = UnlearningJob(context, config, UnlearningData(rows["forget"], rows["retain"], known))


def repr_jinja(text: str) -> str:
    """A template that writes this text."""
    return "{{ " + repr(text) + " }}" if text else ""


def compare_with(args: argparse.Namespace) -> None:
    """Our answers in all orders, and under the latents and multipliers that the published code clamped."""
    from our_side import write_json

    args.saes = list(SAES)
    ours, theirs = OurSide(args, **GRID), read(args.reference)
    result: dict[str, Any] = {"orders": all_orders(ours), "saes": {}}
    from sae_bench.activations.one_pass import run_pass

    report = run_pass(ours.lm, ours.job.requests(ours.members), ours.members)
    if report.failed:
        raise next(iter(report.failed.values()))
    for member in ours.members:
        result["saes"][member.sae_id] = one_sae(ours, member, report.served, theirs["saes"][member.sae_id])
    write_json(args.out, result)


def all_orders(ours: OurSide) -> dict[str, Any]:
    """Set -> with or without the question -> (Q, O) right answers."""
    from sae_bench.evals.unlearning.grid import answer_plainly
    from sae_bench.evals.unlearning.prompts import ORDERS, Ask

    found: dict[str, Any] = {}
    for of_set in ours.sets:
        for what in ("with", "without"):
            asks = [
                Ask(question, of_set.subject, order, with_question=what == "with")
                for question in of_set.questions[:ORDER_QUESTIONS]
                for order in ORDERS
            ]
            right = answer_plainly(ours.lm, ours.job.reader, asks, max_texts=2 * BATCH).view(-1, len(ORDERS))
            found.setdefault(of_set.name, {})[what] = right.int().tolist()
    return found


def one_sae(ours: OurSide, member: Any, served: Sequence[Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Sparsities, chosen latents and, under the published code's latents, accuracies and log-probabilities."""
    import torch

    from sae_bench.evals.unlearning.answers import Answers, unlearning_score
    from sae_bench.evals.unlearning.clamping import Clamp
    from sae_bench.evals.unlearning.sparsity import select_latents

    job = ours.job
    forget, retain = served
    forget_F, retain_F = forget.sparsity(member), retain.sparsity(member)
    clamps = [Clamp(tuple(sorted(s["latents"])), float(s["multiplier"])) for s in theirs["settings"]]
    states = job.states_at(member)
    scores_of, correct_GQ = states_scores(states, member, clamps)
    places, start = {}, 0
    for of_set in job.known:
        places[of_set.name] = slice(start, start := start + len(of_set.questions))
    settings = []
    for setting, clamp, right_Q in zip(theirs["settings"], clamps, correct_GQ, strict=True):
        chosen = select_latents(
            forget_F, retain_F, retain_threshold=setting["retain_threshold"], n=len(setting["latents"])
        )
        share = torch.tensor(theirs["forget"], dtype=torch.float64)
        other = (share[list(chosen)] - share[setting["latents"]]).abs() > 1.5 / forget.n_tokens
        settings.append(
            {
                "latents_of_another_share": int(other.sum()),
                "accuracies": {
                    name: int(right_Q[place].sum()) / (place.stop - place.start) for name, place in places.items()
                },
                "log_probability_difference": difference(setting["answers"], scores_of[clamp], places),
            }
        )
    answers = Answers(correct_GQ, _mask(places[FORGET], correct_GQ), _mask(places[KEEP], correct_GQ))
    untouched_QC = states.scores_RW.reshape(len(states.asks), -1)
    return {
        "forget": forget_F.tolist(),
        "retain": retain_F.tolist(),
        "n_tokens": {"forget": forget.n_tokens, "retain": retain.n_tokens},
        "settings": settings,
        "untouched_difference": difference(theirs["untouched"], untouched_QC, places),
        "unlearning_score": unlearning_score(answers, job.config.side_effect_threshold),
    }


def states_scores(states: Any, member: Any, clamps: Sequence[Any]) -> tuple[dict[Any, Any], Any]:
    """What `answer` computes on its way: clamp -> (Q, C) scores; and its answers."""
    kept: list[Any] = []
    correct = states.reader.correct
    states.reader.correct = lambda scores_QC, asks: kept.append(scores_QC) or correct(scores_QC, asks)
    try:
        answers_GQ = states.answer(member, clamps)
    finally:
        del states.reader.correct
    return dict(zip(dict.fromkeys(clamps), kept, strict=False)), answers_GQ


def difference(theirs: Mapping[str, Any], scores_QC: Any, places: Mapping[str, slice]) -> float:
    """Largest difference of a letter's log-probability, of both sides relative to the mean over the letters."""
    import torch

    worst = 0.0
    for name, place in places.items():
        published_QC = torch.tensor(theirs[name]["probabilities"], dtype=torch.float64).log()
        ours_QC = scores_QC[place].double()
        off_QC = (ours_QC - ours_QC.mean(1, keepdim=True)) - (published_QC - published_QC.mean(1, keepdim=True))
        worst = max(worst, float(off_QC.abs().max()))
    return worst


def _mask(place: slice, correct_GQ: Any) -> Any:
    mask_Q = correct_GQ.new_zeros(correct_GQ.shape[1])
    mask_Q[place] = True
    return mask_Q


def measure(args: argparse.Namespace) -> None:
    """Seconds and memory of the published grid on some SAEs."""
    from our_side import run_job, write_json

    ours = OurSide(args)
    result = run_job(ours.lm, ours.job, ours.members)
    write_json(args.out, result)


def main() -> None:
    """Run one command."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("export", export), ("compare", compare_with), ("measure", measure)):
        command = commands.add_parser(name)
        command.add_argument("--inputs", type=Path, required=True)
        command.add_argument("--out", type=Path)
        command.add_argument("--threads", type=int)
        command.add_argument("--reference", type=Path)
        command.add_argument("--saes", type=lambda text: text.split(","))
        command.add_argument("--questions", type=int, default=QUESTIONS)
        command.add_argument("--rows", type=int, nargs=2, default=ROWS)
        command.set_defaults(run=function)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
