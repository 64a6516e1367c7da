"""What the model answers, written once per model: completions of prompts, kept as JSON and read again.

They do not depend on an SAE. The file's name is a hash of everything that they follow from.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_bench.atomic import write_text_atomically
from sae_bench.datasets.entities import EntityClass
from sae_bench.evals.ravel.correctness import is_correct
from sae_bench.evals.ravel.eval_config import PromptBOS
from sae_bench.evals.ravel.prompts import Answer, Prompt, Question, questions_of, tokenize_questions
from sae_bench.evals.ravel.reading import Tails, with_halving
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.generation import generate
from sae_bench.text_files import read_json

logger = logging.getLogger(__name__)

DEFINITION = "completions-2"
N_WRONG_SHOWN = 20


@dataclass(frozen=True)
class Request:
    """Which completions are wanted; `bos` as of `tokenize_questions`."""

    entities: EntityClass
    attributes: tuple[str, ...]
    downsample: int | None
    n_tokens: int
    seed: int
    bos: PromptBOS = "tokenizer"


@dataclass(frozen=True)
class Completions:
    """The right completions of one entity class.

    Attributes:
        asked: attribute -> how many prompts were completed.
        wrong: attribute -> some of the wrong ones, (prompt, value, completion).
    """

    entity_class: str
    known: tuple[Answer, ...]
    asked: dict[str, int]
    wrong: dict[str, list[tuple[str, str, str]]]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Attribute -> prompts asked and known."""
        known = [answer.prompt.question.attribute for answer in self.known]
        return {name: {"asked": n, "known": known.count(name)} for name, n in self.asked.items()}


def find_completions(
    lm: LanguageModel, request: Request, *, folder: Path | None, fingerprint: str, recompute: bool = False
) -> Completions:
    """The completions, from their file if it is there.

    Args:
        folder: where the file is; None keeps none.
        fingerprint: of the model.
    """
    path = None if folder is None else folder / f"{_key(request, fingerprint)}.json"
    if path is not None and path.is_file() and not recompute:
        try:
            return _loaded(lm, read_json(path), request.bos)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read (%s): completing the prompts again", path, error)
    completions = complete(lm, request)
    if path is not None:
        write_text_atomically(path, json.dumps(_content(lm, request, completions), ensure_ascii=False))
        logger.info("completions of %s kept in %s", lm.name, path)
    return completions


def complete(lm: LanguageModel, request: Request) -> Completions:
    """Let the model complete the prompts."""
    questions = questions_of(request.entities, request.attributes, downsample=request.downsample, seed=request.seed)
    prompts = tokenize_questions(lm, questions, bos=request.bos)
    answers = answer_prompts(lm, prompts, n_tokens=request.n_tokens)
    asked = {name: sum(q.attribute == name for q in questions) for name in request.attributes}
    wrong: dict[str, list[tuple[str, str, str]]] = {name: [] for name in request.attributes}
    for answer in answers:
        question = answer.prompt.question
        if not answer.correct and len(wrong[question.attribute]) < N_WRONG_SHOWN:
            wrong[question.attribute].append((question.text, question.value, answer.completion))
    return Completions(request.entities.name, tuple(a for a in answers if a.correct), asked, wrong)


def answer_prompts(lm: LanguageModel, prompts: Sequence[Prompt], *, n_tokens: int) -> list[Answer]:
    """The model's greedy completions, in the order of the prompts."""
    tails = Tails.of(lm, prompts, n_more=n_tokens)

    def run(numbers: list[int]) -> list[list[int]]:
        ids_BL, real_BL = tails.padded(numbers, left=True)
        past = tails.past_of(lm, numbers)
        return generate(lm, ids_BL, real_BL=real_BL, n_tokens=n_tokens, past=past)

    answers: dict[int, Answer] = {}
    for batch in tails.batches(lm, n_more=n_tokens):
        for number, written in zip(batch, with_halving(run, batch), strict=True):
            answers[number] = _answer(lm, prompts[number], written)
    return [answers[number] for number in range(len(prompts))]


def _answer(lm: LanguageModel, prompt: Prompt, written: list[int]) -> Answer:
    completion = decode(lm, [written])[0]
    question = prompt.question
    return Answer(prompt, completion, written[0], is_correct(question.text, question.value, completion))


def decode(lm: LanguageModel, written: Sequence[list[int]]) -> list[str]:
    """Completions as text. The token that ended one is part of it: half a value that was ended is not cut short."""
    return [lm.tokenizer.decode(row) for row in written]


# ---- the file


def _key(request: Request, fingerprint: str) -> str:
    """Hash of all that the completions follow from."""
    entities = request.entities
    parts = [
        DEFINITION,
        fingerprint,
        entities.name,
        {name: list(entities.templates.get(name, ())) for name in request.attributes},
        [[e, [v.get(name) for name in request.attributes]] for e, v in entities.attributes.items()],
        request.downsample,
        request.n_tokens,
        request.seed if request.downsample is not None else None,
        request.bos,
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def _content(lm: LanguageModel, request: Request, completions: Completions) -> dict[str, Any]:
    return {
        "definition": DEFINITION,
        "model": lm.name,
        "entity_class": completions.entity_class,
        "source": request.entities.provenance,
        "n_tokens": request.n_tokens,
        "downsample": request.downsample,
        "prompt_bos": request.bos,
        "asked": completions.asked,
        "columns": ["entity", "attribute", "template", "value", "completion", "first_token"],
        "known": [[*_question(a.prompt.question), a.completion, a.first_token] for a in completions.known],
        "wrong": completions.wrong,
    }


def _question(question: Question) -> list[str]:
    return [question.entity, question.attribute, question.template, question.value]


def _loaded(lm: LanguageModel, content: dict[str, Any], bos: PromptBOS) -> Completions:
    rows = content["known"]
    prompts = tokenize_questions(lm, [Question(*row[:4]) for row in rows], bos=bos)
    known = [Answer(prompt, row[4], int(row[5]), True) for prompt, row in zip(prompts, rows, strict=True)]
    wrong = {name: [(text, value, said) for text, value, said in of] for name, of in content["wrong"].items()}
    return Completions(content["entity_class"], tuple(known), dict(content["asked"]), wrong)
