"""A judge at any endpoint that speaks OpenAI's chat completions, through the official client.

The client repeats requests that met a rate limit, an error of the server, a time-out or a broken connection, with
growing pauses and heeding `Retry-After`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_bench.errors import PrerequisiteError
from sae_bench.judges.completions import read_completion
from sae_bench.judges.credentials import NO_KEY, Access
from sae_bench.judges.interface import Deliver, JudgeError, Question, Reply, YesOrNo
from sae_bench.judges.traffic import in_background, limits_of

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "gpt-4o-mini"
KEY_FILE = "openai_api_key.txt"
MALFORMED_TRIES = 3
SAME_REFUSALS = 5
"""So many questions refused in the same words, with no answer in between: it is not the questions."""
LIKELIEST_WORDS = 20
"""First words whose probability is asked for; the most that endpoints give."""
KEPT = "Replies so far are kept; the same command goes on from there."

_OF_ONE_QUESTION = (400, 403, 413, 422)
_OF_MODERATION = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})


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
        UsageError: the base URL is none.
    """

    def __init__(self, settings: EndpointSettings, api_key: str | None = None) -> None:
        _client_package()
        base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        self.settings = settings
        self.access = Access.of(base_url, find_key(api_key, needed=base_url is None))
        if self.access.query:
            _hide_in_logs(self.access)
        self._limit_name = "max_tokens"
        self._refusals: tuple[str, int] = ("", 0)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "openai",
            "model": self.settings.model,
            "base_url": self.access.address,
            "temperature": self.settings.temperature,
        }

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        in_background(self._answer_all(questions, deliver))

    async def _answer_all(self, questions: Sequence[Question], deliver: Deliver) -> None:
        openai = _client_package()
        waiting = list(enumerate(questions))[::-1]
        limits = limits_of(
            self.access.shown_address, self.settings.model, requests_per_minute=self.settings.requests_per_minute,
            tokens_per_minute=self.settings.tokens_per_minute,
        )  # fmt: skip
        async with openai.AsyncOpenAI(
            api_key=self.access.key,
            base_url=self.access.address,
            default_headers=self.access.headers,
            default_query=self.access.query,
            timeout=self.settings.timeout,
            max_retries=self.settings.max_retries,
        ) as client:

            async def worker() -> None:
                while waiting:
                    index, question = waiting.pop()
                    await limits.wait(question)
                    deliver(index, await self._answer(client, question))

            workers = [asyncio.create_task(worker()) for _ in range(min(self.settings.concurrency, len(questions)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _answer(self, client: Any, question: Question) -> Reply:
        """The reply to one question; its own text and the server's never hold a credential."""
        openai = _client_package()
        malformed = 0
        while malformed < MALFORMED_TRIES:
            limit_name = self._limit_name
            try:
                completion = await client.chat.completions.create(**self._request(question, limit_name))
            except openai.APIStatusError as error:
                if self._renames_limit(error, limit_name):
                    continue
                if error.status_code in _OF_ONE_QUESTION:
                    return self._refused(error)
                raise self._ended(error) from None  # its own text may hold what was sent
            except openai.APIConnectionError as error:
                raise self._unreachable(timed_out=isinstance(error, openai.APITimeoutError)) from None
            except (openai.APIError, ValueError) as error:  # a reply that is not JSON
                logger.info("the judge sent no chat completion: %s", self._first_line(error))
                malformed += 1
                continue
            reply = read_completion(completion, question, self.access.redact)
            if reply is not None:
                self._refusals = ("", 0)
                return reply
            malformed += 1
        raise JudgeError(
            f"what the judge at {self.access.shown_address} sends is no chat completion ({MALFORMED_TRIES} tries). "
            f"Next: see that --judge-base-url names an OpenAI-compatible endpoint (it often ends in /v1). {KEPT}"
        )

    def _request(self, question: Question, limit_name: str) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.settings.model,
            "messages": list(question.messages),
            limit_name: question.max_tokens,
        }
        if self.settings.temperature is not None:
            request["temperature"] = self.settings.temperature
        if isinstance(question.form, YesOrNo):
            request |= {"logprobs": True, "top_logprobs": LIKELIEST_WORDS}
        return request

    def _renames_limit(self, error: Any, limit_name: str) -> bool:
        """Whether the model refuses the name `max_tokens` and is asked again with its newer one."""
        if error.status_code not in (400, 422) or limit_name != "max_tokens":
            return False
        unsupported = getattr(error, "param", None) == "max_tokens" and "unsupported" in str(getattr(error, "code", ""))
        if not unsupported and "max_completion_tokens" not in str(error):
            return False
        self._limit_name = "max_completion_tokens"
        return True

    def _refused(self, error: Any) -> Reply:
        """A question that the endpoint does not take.

        Raises:
            JudgeError: it was the same with several questions before, so that the questions are not what is wrong.
        """
        message = self._first_line(error)
        if getattr(error, "code", None) not in _OF_MODERATION:
            same, count = self._refusals
            self._refusals = (message, count + 1 if message == same else 1)
            if self._refusals[1] >= SAME_REFUSALS:
                raise self._ended(error) from None
        return Reply(None, error=message)

    def _ended(self, error: Any) -> JudgeError:
        status = error.status_code
        if status in (401, 403):
            next_step = f"set OPENAI_API_KEY, or write the right key into {KEY_FILE}"
            return JudgeError(
                f"the judge at {self.access.shown_address} refuses the key (HTTP {status}). Next: {next_step}. {KEPT}"
            )
        if status in (400, 404, 422):
            next_step = (
                "see that --judge-model and --judge-base-url name what is there, and that it takes these settings"
            )
        elif status == 429:
            next_step = "wait, check the account's quota, or lower judge_requests_per_minute and judge_concurrency"
        else:
            next_step = "try again later"
        return JudgeError(
            f"the judge '{self.settings.model}' at {self.access.shown_address} answers HTTP {status}: "
            f"{self._first_line(error)} Next: {next_step}. {KEPT}"
        )

    def _unreachable(self, *, timed_out: bool) -> JudgeError:
        what = "did not answer in time" if timed_out else "cannot be reached"
        return JudgeError(
            f"the judge at {self.access.shown_address} {what} ({self.settings.max_retries + 1} tries). "
            f"Next: see that it runs and that --judge-base-url names it. {KEPT}"
        )

    def _first_line(self, error: Exception) -> str:
        return (self.access.redact(str(error)).strip().splitlines() or [type(error).__name__])[0][:300]


def find_key(given: str | None, *, needed: bool) -> str:
    """The key that was given, in OPENAI_API_KEY, or in `openai_api_key.txt` in the working directory.

    Raises:
        PrerequisiteError: there is none and the endpoint is OpenAI's own, or it holds what no key can.
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
    if not (key.isascii() and key.isprintable()):
        raise PrerequisiteError(
            f"the key for the judge has characters that no key has, line breaks perhaps. Next: see what OPENAI_API_KEY "
            f"or {KEY_FILE} holds; it has to be the key alone."
        )
    return key or NO_KEY


class _Hidden(logging.Filter):
    """Hides credentials in the messages of a logger."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.access.redact(record.getMessage()), ()
        return True


def _hide_in_logs(access: Access) -> None:
    """Keep the query, which the client's libraries log with every request, out of their messages."""
    for name in ("httpx", "httpx2", "openai._base_client"):
        logging.getLogger(name).addFilter(_Hidden(access))


def _client_package() -> Any:
    try:
        import aiolimiter  # noqa: F401
        import openai
    except ImportError as error:
        raise PrerequisiteError(
            "the judge's client is not installed: pip install 'sae-bench[judge]' (openai, aiolimiter)."
        ) from error
    return openai
