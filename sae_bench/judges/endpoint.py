"""A judge at any endpoint that speaks OpenAI's chat completions, through the official client.

The client repeats requests that met a rate limit, an error of the server, a time-out or a broken connection, with
growing pauses and heeding `Retry-After`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_bench.errors import PrerequisiteError
from sae_bench.judges.interface import Deliver, JudgeError, Question, Reply
from sae_bench.judges.pricing import text_tokens

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "gpt-4o-mini"
KEY_FILE = "openai_api_key.txt"
MALFORMED_TRIES = 3
KEPT = "Replies so far are kept; the same command goes on from there."
_NO_KEY = "none"


@dataclass(frozen=True)
class EndpointSettings:
    """How an endpoint is asked; None leaves a thing to the endpoint, or to the environment."""

    model: str = DEFAULT_MODEL
    base_url: str | None = None
    temperature: float | None = None
    concurrency: int = 10
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout: float = 60.0
    max_retries: int = 8


class EndpointJudge:
    """Asks an endpoint, several questions at a time.

    Raises:
        PrerequisiteError: the client is not installed, or there is no key for OpenAI's own endpoint.
    """

    def __init__(self, settings: EndpointSettings, api_key: str | None = None) -> None:
        _client_package()
        self.settings = settings
        self.base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._api_key = find_key(api_key, needed=self.base_url is None)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "openai",
            "model": self.settings.model,
            "base_url": self.base_url,
            "temperature": self.settings.temperature,
        }

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        _run(self._answer_all(questions, deliver))

    async def _answer_all(self, questions: Sequence[Question], deliver: Deliver) -> None:
        openai = _client_package()
        waiting = list(enumerate(questions))[::-1]
        async with openai.AsyncOpenAI(
            api_key=self._api_key,
            base_url=self.base_url,
            timeout=self.settings.timeout,
            max_retries=self.settings.max_retries,
        ) as client:
            limits = _Limits(self.settings)

            async def worker() -> None:
                while waiting:
                    place, question = waiting.pop()
                    await limits.wait(question)
                    deliver(place, await self._answer(client, question))

            workers = [asyncio.create_task(worker()) for _ in range(min(self.settings.concurrency, len(questions)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _answer(self, client: Any, question: Question) -> Reply:
        openai = _client_package()
        options: dict[str, Any] = {"model": self.settings.model, "max_tokens": question.max_tokens}
        if self.settings.temperature is not None:
            options["temperature"] = self.settings.temperature
        for _ in range(MALFORMED_TRIES):
            try:
                completion = await client.chat.completions.create(messages=list(question.messages), **options)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                return Reply(None, error=_first_line(error))  # this question, not the judge
            except openai.APIStatusError as error:
                raise self._ended(error) from error
            except openai.APIConnectionError as error:
                what = "did not answer in time" if isinstance(error, openai.APITimeoutError) else "cannot be reached"
                tries = self.settings.max_retries + 1
                raise JudgeError(
                    f"the judge at {self._where()} {what} ({tries} tries). Next: see that it runs and that "
                    f"--judge-base-url names it. {KEPT}"
                ) from error
            except (openai.APIError, ValueError) as error:  # a reply that is not JSON
                logger.info("the judge sent no chat completion: %s", error)
                continue
            reply = _read(completion)
            if reply is not None:
                return reply
        raise JudgeError(
            f"what the judge at {self._where()} sends is no chat completion ({MALFORMED_TRIES} tries). Next: see that "
            f"--judge-base-url names an OpenAI-compatible endpoint (it often ends in /v1). {KEPT}"
        )

    def _ended(self, error: Any) -> JudgeError:
        status = error.status_code
        if status in (401, 403):
            next_step = f"set OPENAI_API_KEY, or write the right key into {KEY_FILE}"
            return JudgeError(
                f"the judge at {self._where()} refuses the key (HTTP {status}). Next: {next_step}. {KEPT}"
            )
        if status == 404:
            next_step = "see that --judge-model and --judge-base-url name what is there"
        elif status == 429:
            next_step = "wait, check the account's quota, or lower judge_requests_per_minute and judge_concurrency"
        else:
            next_step = "try again later"
        return JudgeError(
            f"the judge '{self.settings.model}' at {self._where()} answers HTTP {status}: {_first_line(error)} "
            f"Next: {next_step}. {KEPT}"
        )

    def _where(self) -> str:
        return self.base_url or "OpenAI's endpoint"


class _Limits:
    """Waits until a request is within the limits on requests and tokens per minute."""

    def __init__(self, settings: EndpointSettings) -> None:
        from aiolimiter import AsyncLimiter

        def limiter(rate: int | None) -> Any:
            return None if rate is None else AsyncLimiter(rate, 60)

        self._requests = limiter(settings.requests_per_minute)
        self._tokens = limiter(settings.tokens_per_minute)
        self._most_tokens = settings.tokens_per_minute or 0

    async def wait(self, question: Question) -> None:
        """Return when the question may be asked."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            tokens = question.max_tokens + text_tokens(*(message["content"] for message in question.messages))
            await self._tokens.acquire(min(tokens, self._most_tokens))


def find_key(given: str | None, *, needed: bool) -> str:
    """The key that was given, in OPENAI_API_KEY, or in `openai_api_key.txt` in the working directory.

    Raises:
        PrerequisiteError: there is none, and the endpoint is OpenAI's own.
    """
    key = (given or os.environ.get("OPENAI_API_KEY") or "").strip()
    if not key and Path(KEY_FILE).is_file():
        key = Path(KEY_FILE).read_text(encoding="utf-8").strip()
    if not key and needed:
        raise PrerequisiteError(
            f"there is no key for the judge. Next: set OPENAI_API_KEY or write the key into {KEY_FILE}; or name an "
            "endpoint of your own with --judge-base-url, take a model in this process with --judge local, or do "
            "without a judge (--judge none: only the judge-free score)."
        )
    return key or _NO_KEY


def _client_package() -> Any:
    try:
        import aiolimiter  # noqa: F401
        import openai
    except ImportError as error:
        raise PrerequisiteError(
            "the judge's client is not installed: pip install 'sae-bench[judge]' (openai, aiolimiter)."
        ) from error
    return openai


def _read(completion: Any) -> Reply | None:
    """The reply in a completion; None if it is none."""
    try:
        text = completion.choices[0].message.content
        usage = completion.usage
        tokens = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage is not None else (0, 0)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    return Reply("" if text is None else str(text).strip(), *tokens)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
