"""Asks a judge at an endpoint a number of questions: `asks.py BASE_URL CACHE N`, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from sae_bench.judges import CachedJudge, Question, ReplyCache
from sae_bench.judges.endpoint import EndpointJudge, EndpointSettings


def questions(n: int) -> list[Question]:
    return [Question(({"role": "user", "content": "question " + "x" * i},), 5) for i in range(n)]


def main() -> None:
    base_url, folder, n = sys.argv[1:]
    judge = CachedJudge(EndpointJudge(EndpointSettings(base_url=base_url, concurrency=4)), ReplyCache(Path(folder)))
    replies = judge.ask(questions(int(n)))
    assert [reply.content for reply in replies] == [str(9 + i) for i in range(int(n))]


if __name__ == "__main__":
    main()
