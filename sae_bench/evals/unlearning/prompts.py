"""Questions as prompts: MMLU's list of lettered choices, or the bare question for a cloze; in a chat or plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from sae_bench.datasets.multiple_choice import N_CHOICES, Question
from sae_bench.errors import UsageError
from sae_bench.evals.unlearning.eval_config import AnswerFormat, PromptFormat
from sae_bench.language_models import LanguageModel

LETTERS = ("A", "B", "C", "D")
Order = tuple[int, ...]
GIVEN_ORDER: Order = tuple(range(N_CHOICES))
ORDERS: tuple[Order, ...] = tuple(permutations(GIVEN_ORDER))
"""The 24 orders of four choices; the first is the given one."""

_HEADER = "The following are multiple choice questions (with answers) about {subject}.\n"


@dataclass(frozen=True)
class Ask:
    """One question put to the model: in which order its choices stand, and whether the question itself is shown."""

    question: Question
    subject: str
    order: Order = GIVEN_ORDER
    with_question: bool = True

    @property
    def right(self) -> int:
        """The place of the right choice in this order."""
        return self.order.index(self.question.answer)

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices in this order."""
        return tuple(self.question.choices[number] for number in self.order)


@dataclass(frozen=True)
class Row:
    """Token ids that the model reads; the tokens from `scored_from` on are scored (none: what comes after the last)."""

    ids: tuple[int, ...]
    scored_from: int

    @property
    def reads(self) -> range:
        """Places of the tokens whose hidden states are read: those before each scored token, or the last."""
        return range(self.scored_from - 1, max(len(self.ids) - 1, self.scored_from))


def uses_chat(lm: LanguageModel, answer_format: AnswerFormat, prompt_format: PromptFormat) -> bool:
    """Whether prompts go through the tokenizer's chat template.

    Raises:
        UsageError: a chat is asked for, and the tokenizer has no template.
    """
    has_template = getattr(lm.tokenizer, "chat_template", None) is not None
    if prompt_format == "chat" and not has_template:
        raise UsageError(
            f"prompt_format is chat, but the tokenizer of '{lm.name}' has no chat template. Next: take an "
            "instruction-tuned model, or prompt_format plain."
        )
    if prompt_format == "auto":
        return has_template and answer_format == "letters"
    return prompt_format == "chat"


def letters_prompt(lm: LanguageModel, ask: Ask, *, chat: bool) -> str:
    """The text up to where the letter of the answer comes next."""
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, ask.choices, strict=True))
    header = f"{_HEADER.format(subject=ask.subject)}{ask.question.text}\n" if ask.with_question else ""
    if chat:
        return f"{_in_chat(lm, header + listed)}Answer: ("
    return f"{header}{listed}\nAnswer:"


def cloze_prompt(lm: LanguageModel, ask: Ask, *, chat: bool) -> str:
    """The text up to where the words of the answer come next, with the space before them where one is due.

    Without the question, all that stands before a choice is that it is an answer.
    """
    if chat:
        return _in_chat(lm, ask.question.text if ask.with_question else "Answer:")
    return f"Question: {ask.question.text}\nAnswer: " if ask.with_question else "Answer: "


def letters_rows(lm: LanguageModel, asks: Sequence[Ask], *, chat: bool) -> list[Row]:
    """One row per ask, whose next token is the letter."""
    rows = prompt_token_ids(lm, [letters_prompt(lm, ask, chat=chat) for ask in asks])
    return [Row(tuple(ids), len(ids)) for ids in rows]


def cloze_rows(lm: LanguageModel, asks: Sequence[Ask], *, chat: bool) -> list[Row]:
    """Four rows per ask: the prompt with each of its choices in the place of the answer.

    The scored tokens are those by which the row differs from its prompt, so that a tokenizer may join the space with
    the first word.
    """
    prompts = [cloze_prompt(lm, ask, chat=chat) for ask in asks]
    starts = prompt_token_ids(lm, [prompt.rstrip(" ") for prompt in prompts])
    whole = prompt_token_ids(
        lm, [prompt + choice for prompt, ask in zip(prompts, asks, strict=True) for choice in ask.choices]
    )
    return [Row(tuple(ids), _scored_from(ids, starts[number // N_CHOICES])) for number, ids in enumerate(whole)]


def _in_chat(lm: LanguageModel, text: str) -> str:
    message = [{"role": "user", "content": text}]
    return str(lm.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def prompt_token_ids(lm: LanguageModel, texts: Sequence[str]) -> list[list[int]]:
    """Token ids, BOS first where the model takes one and the text (a chat template's, say) does not bring it."""
    if not texts:
        return []
    encoded = lm.tokenizer(list(texts), add_special_tokens=False, padding=False, verbose=False)["input_ids"]
    bos = lm.bos_token_id
    if not lm.prepend_bos or bos is None:
        return [list(ids) for ids in encoded]
    return [list(ids) if ids and ids[0] == bos else [bos, *ids] for ids in encoded]


def _scored_from(ids: Sequence[int], prompt: Sequence[int]) -> int:
    """The first token of a choice; at least the last token is scored, and at least one token comes before."""
    return max(1, min(common_prefix(ids, prompt), len(ids) - 1))


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two rows share from the start."""
    return next((length for length, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
