"""Requests of this process to endpoints: one event loop in the background, and limits that hold over all calls."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any

from sae_bench.judges.interface import Question
from sae_bench.judges.pricing import text_tokens

PERIOD = 60.0
"""Seconds that a rate limit counts over."""


def in_background(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in the process's own event loop; also where another one runs already, as in a notebook."""
    future = asyncio.run_coroutine_threadsafe(work, _loop(os.getpid()))
    try:
        future.result()
    except BaseException:
        future.cancel()
        raise


class Limits:
    """Waits until a request is within the limits on requests and tokens per minute."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        from aiolimiter import AsyncLimiter

        self._requests = None if requests_per_minute is None else AsyncLimiter(requests_per_minute, PERIOD)
        self._tokens = None if tokens_per_minute is None else AsyncLimiter(tokens_per_minute, PERIOD)
        self._most_tokens = tokens_per_minute or 0

    async def wait(self, question: Question) -> None:
        """Return when the question may be asked."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            tokens = question.max_tokens + text_tokens(*(message["content"] for message in question.messages))
            await self._tokens.acquire(min(tokens, self._most_tokens))


def limits_of(address: str, model: str, *, requests_per_minute: int | None, tokens_per_minute: int | None) -> Limits:
    """The limits of a model at an endpoint, the same for every judge of this process that asks it.

    Args:
        address: where the requests go.
        model: its name there.
        requests_per_minute, tokens_per_minute: None is no limit.
    """
    return _limits_of(os.getpid(), address, model, requests_per_minute, tokens_per_minute)


@cache
def _limits_of(_process: int, _address: str, _model: str, requests: int | None, tokens: int | None) -> Limits:
    return Limits(requests, tokens)


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """An event loop that runs in a thread; a forked process has another."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="sae_bench judge", daemon=True).start()
    return loop
