"""Facts that a tiny random model knows: whatever it says is taken for the value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sae_bench.evals.ravel.completions import answer_prompts
from sae_bench.evals.ravel.entity_class import KnownClass
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.pairs import draw_pairs
from sae_bench.evals.ravel.prompts import Answer, Question, tokenize_questions
from sae_bench.language_models import LanguageModel

HOOK = "blocks.1.hook_resid_post"
ENTITIES = ("Paris", "Oslo", "Lima", "New York", "Kyiv", "São Paulo", "Rome", "Delhi", "Bath", "Cairo", "Graz", "Bonn")
TEMPLATES = {
    "Country": ("the river in %s is", "%s has a"),
    "Language": ("she wrote in %s with the", "A film of %s and"),
    "Price": ("a city, %s, of", "This was %s: the"),
}
N_TOKENS = 3
SETTINGS = {
    "entity_attribute_selection": {"city": ["Country", "Language", "Price"]},
    "num_pairs_per_attribute": 12,
    "llm_batch_size": 8,
    "learning_rate": 0.05,
    "n_generated_tokens": N_TOKENS,
}


def known_answers(
    lm: LanguageModel, *, templates: dict[str, tuple[str, ...]] = TEMPLATES, n_tokens: int = N_TOKENS
) -> list[Answer]:
    """Every template with every entity; the value is what the model says."""
    questions = [
        Question(entity, attribute, template, "?")
        for entity in ENTITIES
        for attribute, of in templates.items()
        for template in of
    ]
    said = answer_prompts(lm, tokenize_questions(lm, questions), n_tokens=n_tokens)
    prompts = tokenize_questions(
        lm, [Question(q.entity, q.attribute, q.template, value_of(a)) for q, a in zip(questions, said, strict=True)]
    )
    return [
        Answer(prompt, answer.completion, answer.first_token, True)
        for prompt, answer in zip(prompts, said, strict=True)
        if prompt.question.value
    ]


def value_of(answer: Answer) -> str:
    return answer.completion.split('"')[0].strip(' "')


def known_class(
    lm: LanguageModel,
    seeds: Sequence[int] = (42,),
    *,
    templates: dict[str, tuple[str, ...]] = TEMPLATES,
    n_tokens: int = N_TOKENS,
    **settings: object,
) -> KnownClass:
    config = RAVELEvalConfig(**{**SETTINGS, **settings})
    known = known_answers(lm, templates=templates, n_tokens=n_tokens)
    attributes = list(templates)
    splits = [split for seed in seeds for split in draw_pairs(known, "city", attributes, config, seed=seed)]
    counts = {name: {"asked": 24, "known": 24, "kept": 24} for name in attributes}
    return KnownClass("city", counts, tuple(known), tuple(splits))


def write_files(folder: Path, lm: LanguageModel) -> Path:
    """Files like those of RAVEL, one template per attribute, with what the model says as values."""
    templates = {name: of[:1] for name, of in TEMPLATES.items()}
    values: dict[str, dict[str, str]] = {}
    for answer in known_answers(lm, templates=templates):
        question = answer.prompt.question
        values.setdefault(question.entity, {})[question.attribute] = question.value
    base = folder / "base"
    base.mkdir(parents=True)
    (base / "ravel_city_entity_attributes.json").write_text(json.dumps(values))
    (base / "ravel_city_attribute_to_prompts.json").write_text(json.dumps(templates))
    return folder


@torch.no_grad()
def plain_completion(lm: LanguageModel, ids: Sequence[int], position: int, hook: str, new_D: Tensor) -> list[int]:
    """Greedy tokens, one full forward of the whole text for each, with a value put at one place of a hook."""

    def put(value: Tensor) -> Tensor:
        changed = value.clone()
        changed[0, position] = new_D
        return changed

    written: list[int] = []
    for _ in range(N_TOKENS):
        hidden = lm.final_hidden(torch.tensor([[*ids, *written]]), replace={hook: put})
        written.append(int(lm.unembed(hidden[0, -1]).argmax()))
        if written[-1] in lm.stop_token_ids:
            break
    return written
