"""From a chat completion of an endpoint to a reply."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from sae_bench.judges.interface import Question, Reply, YesOrNo

NO_LOGPROBS = "the endpoint gives no probabilities of words (logprobs), which judge_scoring: logprob needs"
NEITHER = "neither yes nor no is among the likeliest first words"


def read_completion(completion: Any, question: Question, redact: Callable[[str], str]) -> Reply | None:
    """The reply in a chat completion; None if it is none.

    Args:
        completion: what the client made of the server's JSON.
        question: what was asked.
        redact: hides credentials in a text.
    """
    try:
        choice = completion.choices[0]
        message, usage = choice.message, completion.usage
        content, refusal = message.content, getattr(message, "refusal", None)
        tokens = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage is not None else (0, 0)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    if content is not None and not isinstance(content, str):
        return None
    finish_reason = choice.finish_reason
    if getattr(message, "tool_calls", None) and not content:
        finish_reason = "tool_calls"
    log_odds, error = None, None
    if isinstance(question.form, YesOrNo):
        log_odds, error = _log_odds(choice)
    return Reply(
        None if content is None else redact(content).strip(),
        *tokens,
        finish_reason=None if finish_reason is None else redact(str(finish_reason)),
        refusal=redact(str(refusal)) if refusal else None,
        log_odds=log_odds,
        error=error,
    )


def _log_odds(choice: Any) -> tuple[float | None, str | None]:
    """Log-odds of yes over no for the first word, or why there are none.

    Where only one of the two is among the words given, the other is at most as likely as the last of them.
    """
    try:
        likeliest = [(str(word.token), float(word.logprob)) for word in choice.logprobs.content[0].top_logprobs]
    except (AttributeError, IndexError, TypeError, ValueError):
        likeliest = []
    if not likeliest:
        return None, NO_LOGPROBS
    yes, no = (_log_sum(p for word, p in likeliest if word.strip().casefold() == name) for name in ("yes", "no"))
    if yes is None and no is None:
        return None, NEITHER
    least = min(p for _, p in likeliest)
    return (least if yes is None else yes) - (least if no is None else no), None


def _log_sum(log_probabilities: Iterable[float]) -> float | None:
    values = list(log_probabilities)
    if not values:
        return None
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
