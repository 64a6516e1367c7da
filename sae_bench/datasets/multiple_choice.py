"""Multiple-choice questions: MMLU subjects and WMDP by name, files of one's own, and two embedded sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae_bench.datasets import everyday, geography, sources
from sae_bench.datasets.facts import Fact
from sae_bench.datasets.sources import Origin, Request
from sae_bench.datasets.spec import DatasetSpec
from sae_bench.errors import DatasetError, UnknownNameError
from sae_bench.seeding import named_generator

N_CHOICES = 4
COLUMNS = ("question", "choices", "answer")
WMDP_BIO = "wmdp-bio"
GEOGRAPHY = "embedded/geography"
EVERYDAY = "embedded/everyday"

_MMLU = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
    econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
    high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
    high_school_government_and_politics high_school_macroeconomics high_school_mathematics
    high_school_microeconomics high_school_physics high_school_psychology high_school_statistics
    high_school_us_history high_school_world_history human_aging human_sexuality international_law jurisprudence
    logical_fallacies machine_learning management marketing medical_genetics miscellaneous moral_disputes
    moral_scenarios nutrition philosophy prehistory professional_accounting professional_law professional_medicine
    professional_psychology public_relations security_studies sociology us_foreign_policy virology world_religions
"""
MMLU_SUBJECTS: tuple[str, ...] = tuple(_MMLU.split())
"""The subjects of MMLU (Hendrycks et al. 2021), configurations of `cais/mmlu`."""


@dataclass(frozen=True)
class Question:
    """One question; `answer` is the place of the right choice among the four.

    `index` is its place in the data set, whatever part of the set is in use.
    """

    index: int
    text: str
    choices: tuple[str, str, str, str]
    answer: int


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one data set, what they are about, and where they came from."""

    name: str
    subject: str
    questions: tuple[Question, ...]
    provenance: dict[str, str]


def question_set_names() -> tuple[str, ...]:
    """Names that `load_questions` knows; it also takes the path of a file or folder."""
    return (EVERYDAY, GEOGRAPHY, WMDP_BIO, *MMLU_SUBJECTS)


def load_questions(
    name: str, *, max_questions: int | None = None, seed: int = 42, data_dir: str | Path | None = None
) -> QuestionSet:
    """The questions of a data set.

    Args:
        name: a known set, or the path of a file or folder with columns `question`, `choices` (four) and `answer` (0-3).
        max_questions: take a random sample of so many; None takes all.
        seed: of the sample.
    Raises:
        UnknownNameError: no set and no file has this name.
        DatasetError, PrerequisiteError: the set cannot be found or read, or a row is no question with four choices.
    """
    question_set = _embedded(name) if name in _EMBEDDED else _read(_spec(name), data_dir)
    if not question_set.questions:
        raise DatasetError(f"'{name}' holds no question.")
    if max_questions is None or max_questions >= len(question_set.questions):
        return question_set
    label = Path(name).name if Path(name).is_file() else name  # a file draws alike wherever it lies
    order = torch.randperm(len(question_set.questions), generator=named_generator("questions", label, "sample", seed))
    sampled = sorted(order[:max_questions].tolist())
    return QuestionSet(
        name=question_set.name,
        subject=question_set.subject,
        questions=tuple(question_set.questions[index] for index in sampled),
        provenance={
            **question_set.provenance,
            "sample": f"{max_questions} of {len(question_set.questions)}, seed {seed}",
        },
    )


# ---- embedded sets

_EMBEDDED = {GEOGRAPHY: "geography", EVERYDAY: "everyday knowledge"}


def _embedded(name: str) -> QuestionSet:
    if name == GEOGRAPHY:
        facts, origin = geography.facts(), Origin("package", geography.REQUIREMENT, geography.installed_version())
    else:
        facts, origin = everyday.facts(), Origin("package", "sae_bench/datasets/everyday.py", "1")
    questions = tuple(_question(index, fact, name) for index, fact in enumerate(facts))
    return QuestionSet(name, _EMBEDDED[name], questions, {**origin.provenance(), "split": "all"})


def _question(index: int, fact: Fact, name: str) -> Question:
    """Three wrong choices and the order of all four, drawn by the question's own generator."""
    generator = named_generator("questions", name, fact.question, "choices")
    wrong = sorted(set(fact.others) - {fact.answer})
    picked = torch.randperm(len(wrong), generator=generator)[: N_CHOICES - 1].tolist()
    choices = [fact.answer, *(wrong[number] for number in picked)]
    order = torch.randperm(N_CHOICES, generator=generator).tolist()
    a, b, c, d = (choices[number] for number in order)
    return Question(index, fact.question, (a, b, c, d), order.index(0))


# ---- sets of files


def _spec(name: str) -> DatasetSpec:
    if name in MMLU_SUBJECTS:
        return DatasetSpec(name=name, description="A subject of MMLU.", repo="cais/mmlu", config=name)
    if name == WMDP_BIO:
        return DatasetSpec(name=name, description="WMDP, biology.", repo="cais/wmdp", config=WMDP_BIO)
    path = Path(name).expanduser()
    if path.exists():
        return DatasetSpec(name=name, description="Questions of a file or folder.", path=path)
    hint = (
        "Questions of your own: the path of a JSON lines, Parquet or CSV file with columns question, choices, answer."
    )
    raise UnknownNameError("question set", name, question_set_names(), hint)


def _read(spec: DatasetSpec, data_dir: str | Path | None) -> QuestionSet:
    origin, frames = sources.open_frames(Request(spec, "test", COLUMNS, spec.config, stream=False), data_dir)
    rows = [row for frame in frames for row in frame.to_dict("records")]
    questions = tuple(_checked(index, row, spec.name) for index, row in enumerate(rows))
    subject = "biology" if spec.name == WMDP_BIO else spec.config or Path(spec.name).stem
    provenance = {**origin.provenance(), "split": "test", **({"config": spec.config} if spec.config else {})}
    return QuestionSet(spec.name, subject.replace("_", " "), questions, provenance)


def _checked(index: int, row: Mapping[str, Any], name: str) -> Question:
    text, choices, answer = row["question"], row["choices"], row["answer"]
    if not isinstance(text, str) or not text.strip():
        raise DatasetError(f"question {index} of '{name}': question must be a text, got {text!r}.")
    texts: Sequence[Any] = list(choices) if isinstance(choices, list | tuple) or hasattr(choices, "tolist") else ()
    if len(texts) != N_CHOICES or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DatasetError(f"question {index} of '{name}': choices must be {N_CHOICES} texts, got {choices!r}.")
    if isinstance(answer, bool) or not str(answer).isdigit() or int(answer) >= N_CHOICES:
        raise DatasetError(f"question {index} of '{name}': answer must be 0, 1, 2 or 3, got {answer!r}.")
    a, b, c, d = texts
    return Question(index, text, (a, b, c, d), int(answer))
