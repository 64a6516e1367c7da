"""What a judge is asked: to explain a latent from marked examples, and to tell where an explained latent is active."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Corpus, LatentExamples
from sae_bench.judges import Message, Question
from sae_bench.seeding import named_generator

NUMBERS_ONLY = "0123456789, "
"""What a list of example numbers is written with."""

_SETTING = (
    "You help to find out what single neurons of a neural network respond to. A neuron is active on certain words, "
    "parts of words, or ideas in short pieces of text."
)

_EXPLAIN = (
    f"{_SETTING} In the pieces that follow, every stretch on which one neuron is active stands between << and >>; "
    "the pieces are sorted, strongest activation first. Study the marked stretches and say in one sentence what the "
    "neuron is active on. Prefer a description that is general enough: there are neurons for one word or word part "
    "only, but others are active on nearly every word of a passage about some idea, and then a description that names "
    "a single word is wrong. What you say should fit all or nearly all marked stretches. Mention capital letters and "
    "punctuation where they matter. Be brief and plain, at most 20 words, without punctuation or formatting, and do "
    "not enumerate many words."
)
_EXPLANATIONS = (
    ' Answers can look like this: "This neuron activates on the word \'nearly\' before numbers", "This neuron '
    'activates on verbs of slow movement", "This neuron activates on the word part \'Mac\' in surnames", "This neuron '
    'activates on passages about court proceedings".'
)
_FORM = ' Answer in the form "This neuron activates on ...".'

_PREDICT = (
    "{setting} You get a short description of what one neuron is active on, and then {n} numbered pieces of text in "
    "random order. Name every piece in which the neuron should be active at least once, on any word or word part of "
    "it, as numbers separated by commas; an answer could be: {example}. Do not read the description too narrowly. If "
    "the neuron should be active in none of them, answer None. It is important that you answer with nothing but the "
    "numbers and commas, or the word None."
)


def explanation_question(examples: LatentExamples, corpus: Corpus, config: AutoInterpEvalConfig) -> Question:
    """Ask for an explanation of marked examples."""
    system = _EXPLAIN + (_EXPLANATIONS if config.use_demos_in_explanation else _FORM)
    shown = _numbered([corpus.text(example, mark=True) for example in examples.generation])
    return _question(system, f"The pieces, active stretches marked:\n\n{shown}", config.max_tokens_in_explanation)


def prediction_question(
    explanation: str, examples: LatentExamples, corpus: Corpus, config: AutoInterpEvalConfig, *, seed: int
) -> Question:
    """Ask in which of the unmarked examples an explained latent is active."""
    generator = named_generator("autointerp", "sample answer", seed, examples.latent)
    places = torch.randperm(config.n_ex_for_scoring, generator=generator)[: config.n_correct_for_scoring]
    system = _PREDICT.format(
        setting=_SETTING,
        n=len(examples.scoring),
        example=", ".join(str(place + 1) for place in sorted(places.tolist())),
    )
    shown = _numbered([corpus.text(example, mark=False) for example in examples.scoring])
    user = f"Description: this neuron activates on {explanation}.\n\nPieces:\n\n{shown}"
    return _question(system, user, config.max_tokens_in_prediction, only=NUMBERS_ONLY)


def parse_explanation(reply: str) -> str:
    """What stands behind "activates on"; the whole reply where that is missing."""
    return reply.split("activates on")[-1].rstrip(".").strip()


def parse_prediction(reply: str) -> list[int] | None:
    """The numbers of a reply, none for "None"; null if it is anything but a list of numbers."""
    text = reply.strip().rstrip(".").replace("and", ",").replace("None", "")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return [int(part) for part in parts]


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))


def _question(system: str, user: str, max_tokens: int, only: str | None = None) -> Question:
    messages = (Message(role="system", content=system), Message(role="user", content=user))
    return Question(messages, max_tokens, only)
