"""Replies kept on disk by the content of their question, so that none is asked for twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sae_bench.atomic import write_text_atomically
from sae_bench.judges.interface import Judge, JudgeError, Message, NumberList, Question, Reply, YesOrNo

logger = logging.getLogger(__name__)

CHECK_TOKENS = 16
"""Room for the answer to the first question; some endpoints refuse less."""


def default_folder() -> Path:
    """`sae_bench/judge` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sae_bench" / "judge"


class ReplyCache:
    """One JSON file per reply, written whole as soon as it is there; several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, identity: Mapping[str, Any], question: Question) -> Reply | None:
        """The kept reply; a file that cannot be read, or of an older form, counts as none."""
        path = self._path(identity, question)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))["reply"]
            return Reply(**fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning("the kept reply %s cannot be read and is asked for again: %s", path, error)
            return None

    def put(self, identity: Mapping[str, Any], question: Question, reply: Reply) -> None:
        """Keep a reply with its question."""
        content = {"judge": dict(identity), "question": asdict(question), "reply": asdict(reply)}
        write_text_atomically(self._path(identity, question), json.dumps(content, ensure_ascii=False, indent=1))

    def _path(self, identity: Mapping[str, Any], question: Question) -> Path:
        content = json.dumps([dict(identity), asdict(question)], sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[:40]}.json"


@dataclass
class Usage:
    """What a run has asked for so far."""

    asked: int = 0
    cached: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass
class CachedJudge:
    """A judge that is asked only what no kept reply answers; after an error that ends it, it stays ended."""

    judge: Judge
    cache: ReplyCache
    usage: Usage = field(default_factory=Usage)
    _ended: JudgeError | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.judge.identity

    def check(self, form: NumberList | YesOrNo | None = None) -> None:
        """Ask something easy, now and not from what is kept, to find what is wrong before any work is done.

        Args:
            form: of the answers that will be asked for.
        Raises:
            JudgeError: the judge cannot be asked, or not for this.
        """
        question = Question((Message(role="user", content="Answer with the word yes."),), CHECK_TOKENS, form)
        replies: list[Reply] = []
        try:
            self.judge.answer([question], lambda _index, reply: replies.append(reply))
        except JudgeError as error:
            self._ended = error
            raise
        self._count(replies[0])
        if replies[0].error is not None:
            self._ended = JudgeError(
                f"the judge does not take the first, easy question: {replies[0].error} Next: see that --judge-model "
                "and --judge-base-url name what is there, and that the key may ask it."
            )
            raise self._ended

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """A reply to every question, in order; equal questions are asked once.

        Raises:
            JudgeError: the judge cannot go on; replies that came before are kept.
        """
        keys = [_key(question) for question in questions]
        distinct = dict(zip(keys, questions, strict=True))
        replies: dict[str, Reply] = {}
        for key, question in distinct.items():
            cached = self.cache.get(self.identity, question)
            if cached is not None:
                replies[key] = cached
        self.usage.cached += len(replies)
        open_keys = [key for key in distinct if key not in replies]
        if open_keys:
            self._ask(open_keys, [distinct[key] for key in open_keys], replies)
        return [replies[key] for key in keys]

    def _ask(self, keys: Sequence[str], questions: Sequence[Question], replies: dict[str, Reply]) -> None:
        if self._ended is not None:
            raise JudgeError(str(self._ended))

        def deliver(index: int, reply: Reply) -> None:
            if reply.error is None:
                self.cache.put(self.identity, questions[index], reply)
            replies[keys[index]] = reply
            self._count(reply)

        try:
            self.judge.answer(questions, deliver)
        except JudgeError as error:
            self._ended = error
            raise

    def _count(self, reply: Reply) -> None:
        self.usage.asked += 1
        self.usage.failed += reply.error is not None
        self.usage.tokens_in += reply.tokens_in
        self.usage.tokens_out += reply.tokens_out


def _key(question: Question) -> str:
    return json.dumps(asdict(question), sort_keys=True)
