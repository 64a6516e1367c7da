"""Prompts: a template with an entity in it, its tokens, and where the entity ends among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from sae_bench.datasets.entities import SLOT, EntityClass
from sae_bench.errors import DatasetError, ModelError, UnknownNameError, UsageError
from sae_bench.evals.ravel.eval_config import PromptBOS
from sae_bench.language_models import LanguageModel
from sae_bench.seeding import named_generator

TEXTS_AT_ONCE = 4096


@dataclass(frozen=True)
class Question:
    """One template of an attribute with one entity."""

    entity: str
    attribute: str
    template: str
    value: str

    @property
    def text(self) -> str:
        return self.template.replace(SLOT, self.entity, 1)


@dataclass(frozen=True)
class Prompt:
    """A question in tokens; `position` is that of the entity's last token."""

    question: Question
    ids: tuple[int, ...]
    position: int


@dataclass(frozen=True)
class Answer:
    """What the model wrote after a prompt."""

    prompt: Prompt
    completion: str
    first_token: int
    correct: bool


def questions_of(
    entities: EntityClass, attributes: Sequence[str], *, downsample: int | None = None, seed: int = 42
) -> list[Question]:
    """Every template of the attributes with every entity, or a random sample of them, in order.

    Raises:
        UnknownNameError: there are no templates for an attribute.
        DatasetError: no entity has a value of it.
    """
    pairs: list[tuple[str, str]] = []
    for attribute in attributes:
        if attribute not in entities.templates:
            raise UnknownNameError(f"attribute of '{entities.name}'", attribute, entities.templates)
        if not any(attribute in values for values in entities.attributes.values()):
            raise DatasetError(f"no '{entities.name}' has a value of '{attribute}': take another attribute.")
        pairs += [(attribute, template) for template in entities.templates[attribute]]
    rows = list(entities.attributes.items())
    numbers = range(len(rows) * len(pairs))
    if downsample is not None and downsample < len(numbers):
        order = torch.randperm(len(numbers), generator=named_generator("ravel", entities.name, "prompts", seed))
        chosen: Sequence[int] = sorted(order[:downsample].tolist())
    else:
        chosen = numbers
    return list(_made(rows, pairs, chosen))


def _made(
    rows: Sequence[tuple[str, Mapping[str, str]]], pairs: Sequence[tuple[str, str]], numbers: Sequence[int]
) -> Iterator[Question]:
    for number in numbers:
        (entity, values), (attribute, template) = rows[number // len(pairs)], pairs[number % len(pairs)]
        if attribute in values:
            yield Question(entity, attribute, template, values[attribute])


def tokenize_questions(
    lm: LanguageModel, questions: Sequence[Question], *, bos: PromptBOS = "tokenizer"
) -> list[Prompt]:
    """Prompts of the questions.

    Args:
        bos: `tokenizer` leaves special tokens to the tokenizer, as `tokenizer(text)` does; `always` puts BOS before
            the text's tokens, `never` takes them alone.

    Raises:
        ModelError: the tokenizer does not tell which characters a token stands for.
        UsageError: BOS is asked for, and the tokenizer has none.
    """
    if bos == "always" and lm.bos_token_id is None:
        raise UsageError(
            f"ravel: prompt_bos is always, but the tokenizer of '{lm.name}' has no BOS token. "
            "Next: prompt_bos: tokenizer or never."
        )
    if not getattr(lm.tokenizer, "is_fast", False):
        raise ModelError(
            f"ravel: the tokenizer of '{lm.name}' does not tell which characters a token stands for, so the entity "
            "cannot be found. Next: a fast tokenizer (a tokenizer.json in the model's folder)."
        )
    start = [lm.bos_token_id] if bos == "always" and lm.bos_token_id is not None else []
    prompts: list[Prompt] = []
    for first in range(0, len(questions), TEXTS_AT_ONCE):
        part = questions[first : first + TEXTS_AT_ONCE]
        encoded = lm.tokenizer(
            [question.text for question in part],
            add_special_tokens=bos == "tokenizer",
            return_offsets_mapping=True,
            verbose=False,
        )
        for question, ids, offsets in zip(part, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            end = question.template.index(SLOT) + len(question.entity)
            last = max(token for token, (begin, stop) in enumerate(offsets) if begin < end and stop > begin)
            prompts.append(Prompt(question, (*start, *ids), len(start) + last))
    return prompts


def shared_beginnings(prompts: Sequence[Prompt]) -> list[int]:
    """How many first tokens each prompt has in common with all others of its template, none of them the entity's last.

    Prompts come grouped by template.
    """
    lengths: list[int] = []
    for _, group in groupby(prompts, key=lambda prompt: prompt.question.template):
        of_template = list(group)
        n = min(prompt.position for prompt in of_template)
        first = of_template[0].ids
        for prompt in of_template:
            n = next((token for token in range(n) if prompt.ids[token] != first[token]), n)
        lengths += [n] * len(of_template)
    return lengths
