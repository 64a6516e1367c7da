"""What a judge is asked: to explain a latent from marked examples, and to tell where an explained latent is active."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Corpus, Example, LatentExamples
from sae_bench.judges import Message, NumberList, Question, YesOrNo
from sae_bench.seeding import named_generator

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

_PREDICT_ONE = (
    f"{_SETTING} You get a short description of what one neuron is active on, and then a piece of text. Should the "
    "neuron be active in it at least once, on any word or word part of it? Do not read the description too narrowly. "
    "It is important that you answer with nothing but the word Yes or the word No."
)


def explanation_question(examples: LatentExamples, corpus: Corpus, config: AutoInterpEvalConfig) -> Question:
    """Ask for an explanation of marked examples."""
    system = _EXPLAIN + (_EXPLANATIONS if config.use_demos_in_explanation else _FORM)
    shown = _numbered([corpus.text(example, mark=True) for example in examples.generation])
    max_tokens = config.max_tokens_in_explanation + config.judge_reasoning_tokens
    return _question(system, f"The pieces, active stretches marked:\n\n{shown}", max_tokens)


def prediction_question(
    explanation: str, examples: LatentExamples, corpus: Corpus, config: AutoInterpEvalConfig, *, seed: int
) -> Question:
    """Ask in which of the unmarked examples an explained latent is active."""
    generator = named_generator("autointerp", "sample answer", seed, examples.latent)
    numbers = torch.randperm(config.n_ex_for_scoring, generator=generator)[: config.n_correct_for_scoring]
    system = _PREDICT.format(
        setting=_SETTING,
        n=len(examples.scoring),
        example=", ".join(str(number + 1) for number in sorted(numbers.tolist())),
    )
    shown = _numbered([corpus.text(example, mark=False) for example in examples.scoring])
    user = f"Description: this neuron activates on {explanation}.\n\nPieces:\n\n{shown}"
    max_tokens = config.max_tokens_in_prediction + config.judge_reasoning_tokens
    return _question(system, user, max_tokens, NumberList(len(examples.scoring)))


def piece_question(explanation: str, example: Example, corpus: Corpus) -> Question:
    """Ask whether an explained latent is active in one unmarked example."""
    user = f"Description: this neuron activates on {explanation}.\n\nPiece: {corpus.text(example, mark=False)}"
    return _question(_PREDICT_ONE, user, 1, YesOrNo())


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))


def _question(system: str, user: str, max_tokens: int, form: NumberList | YesOrNo | None = None) -> Question:
    messages = (Message(role="system", content=system), Message(role="user", content=user))
    return Question(messages, max_tokens, form)
