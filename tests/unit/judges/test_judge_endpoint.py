"""The judge at an endpoint: what goes out, what it does when the endpoint misbehaves, nothing asked twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import asks
import pytest
from asks import questions
from fake_endpoint import FakeEndpoint, Handler, serving

from sae_bench.errors import PrerequisiteError
from sae_bench.judges import CachedJudge, JudgeError, Question, ReplyCache
from sae_bench.judges.endpoint import EndpointJudge, EndpointSettings, find_key
from sae_bench.judges.pricing import estimate, text_tokens

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def judge_at(server: FakeEndpoint, folder: Path, api_key: str | None = None, **settings: Any) -> CachedJudge:
    endpoint = EndpointJudge(EndpointSettings(base_url=server.base_url, **settings), api_key)
    return CachedJudge(endpoint, ReplyCache(folder))


def test_every_question_is_answered_in_order_with_bounded_concurrency(tmp_path):
    def slow(_handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        time.sleep(0.05)
        return False

    with serving(slow) as server:
        judge = judge_at(server, tmp_path, "sk-1", concurrency=3, model="some-model", temperature=0.0)
        asked = [*questions(8), questions(1)[0]]
        replies = judge.ask(asked)
    assert [reply.content for reply in replies] == [str(len(q.messages[0]["content"])) for q in asked]
    assert server.most_at_once <= 3
    assert set(server.came.values()) == {1}
    assert server.keys == {"Bearer sk-1"}
    assert server.bodies[0] == {
        "model": "some-model", "messages": list(asked[0].messages), "max_tokens": 5, "temperature": 0.0
    } or len(server.bodies) == 8  # fmt: skip
    assert all(body["temperature"] == 0.0 and body["max_tokens"] == 5 for body in server.bodies)
    assert (judge.usage.asked, judge.usage.tokens_in, judge.usage.tokens_out) == (8, 56, 24)


def test_a_rerun_asks_nothing(tmp_path):
    with serving() as server:
        first = judge_at(server, tmp_path).ask(questions(5))
        again = judge_at(server, tmp_path)
        assert again.ask(questions(5)) == first
        assert (again.usage.asked, again.usage.cached) == (0, 5)
        assert sum(server.came.values()) == 5
        judge_at(server, tmp_path, model="another").ask(questions(5))
        assert sum(server.came.values()) == 10
    assert "temperature" not in server.bodies[0]


def test_passing_trouble_is_waited_out(tmp_path):
    """Rate limit, error of the server, broken connection, something that is not JSON: one after the other."""

    def troubled(handler: Handler, _body: dict[str, Any], before: int) -> bool:
        trouble = (
            lambda: handler.refuse(429, Retry_After="0"),
            lambda: handler.refuse(500),
            handler.cut,
            lambda: handler.send(200, "<html>hello</html>", kind="text/html"),
        )
        if before >= len(trouble):
            return False
        trouble[before]()
        return True

    with serving(troubled) as server:
        replies = judge_at(server, tmp_path, concurrency=4).ask(questions(2))
    assert [reply.content for reply in replies] == ["9", "10"]
    assert set(server.came.values()) == {5}
    assert set(server.answered.values()) == {1}


def test_a_slow_endpoint_is_given_up_after_its_tries(tmp_path):
    done = threading.Event()

    def stuck(_handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        done.wait(5)
        return True

    with serving(stuck) as server:
        with pytest.raises(JudgeError, match=r"did not answer in time \(1 tries\).*Replies so far are kept"):
            judge_at(server, tmp_path, timeout=0.2, max_retries=0).ask(questions(1))
        done.set()


def test_a_wrong_key_stops_and_loses_nothing(tmp_path):
    allowed = 3

    def locks_up(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        if sum(handler.server.answered.values()) >= allowed:
            handler.refuse(401)
            return True
        return False

    with serving(locks_up) as server:
        judge = judge_at(server, tmp_path, "sk-wrong", concurrency=1)
        with pytest.raises(JudgeError, match=r"refuses the key \(HTTP 401\). Next: set OPENAI_API_KEY") as caught:
            judge.ask(questions(10))
        assert "sk-wrong" not in str(caught.value)
        asked = sum(server.came.values())
        assert asked == 4, "it stops at the first refusal"
        with pytest.raises(JudgeError, match="refuses the key"):
            judge.ask(questions(10))
        assert sum(server.came.values()) == asked, "what has ended stays ended"
        assert len(judge.ask(questions(3))) == 3, "kept replies can still be read"
        allowed = 99
        assert len(judge_at(server, tmp_path, "sk-right").ask(questions(10))) == 10
        assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "--judge-model and --judge-base-url"),
        (403, "the first, easy question.*403.*that the key may ask it"),
        (429, "quota"),
    ],
)
def test_lasting_refusals_name_the_next_step(status, message, tmp_path):
    def refusing(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.refuse(status)
        return True

    with serving(refusing) as server, pytest.raises(JudgeError, match=message):
        judge_at(server, tmp_path, max_retries=0).check()


def test_one_refused_question_is_no_end(tmp_path):
    def refusing(handler: Handler, body: dict[str, Any], _before: int) -> bool:
        if body["messages"][0]["content"].endswith(" xx"):
            handler.refuse(400)
            return True
        return False

    with serving(refusing) as server:
        replies = judge_at(server, tmp_path).ask(questions(4))
        assert [reply.content for reply in replies] == ["9", "10", None, "12"]
        assert "400" in str(replies[2].error)
        judge_at(server, tmp_path).ask(questions(4))
    assert sorted(server.came.values()) == [1, 1, 1, 2], "only the refused one is tried again"


def test_nonsense_that_does_not_end_is_an_error(tmp_path):
    def nonsense(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.send(200, '{"answer": 42}')
        return True

    with serving(nonsense) as server, pytest.raises(JudgeError, match="no chat completion"):
        judge_at(server, tmp_path).ask(questions(1))


def test_nobody_there(tmp_path):
    with serving() as server:
        judge = judge_at(server, tmp_path, max_retries=0)
    with pytest.raises(JudgeError, match="cannot be reached"):
        judge.ask(questions(1))


@pytest.mark.slow
def test_rate_limits_hold_requests_back(tmp_path):
    with serving() as server:
        judge = judge_at(server, tmp_path, requests_per_minute=600, concurrency=50)
        start = time.monotonic()
        judge.ask(questions(610))
        assert time.monotonic() - start > 0.9  # 600 may go at once, the other 10 at 10 a second


def test_works_where_an_event_loop_runs_already(tmp_path):
    async def notebook() -> list[Any]:
        with serving() as server:
            return judge_at(server, tmp_path).ask(questions(2))

    assert len(asyncio.run(notebook())) == 2


@pytest.mark.slow
def test_kill_dash_nine_asks_nothing_twice(tmp_path):
    """Killed while four questions are on their way: those that were answered are not asked again."""
    free, n = 12, 30
    opened = threading.Event()
    number = itertools.count()

    def stops(_handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        return next(number) >= free and not opened.wait(60)

    folder = tmp_path / "replies"
    with serving(stops) as server:
        command = [sys.executable, asks.__file__, server.base_url, str(folder), str(n)]
        process = subprocess.Popen(command, env={**os.environ, "OPENAI_API_KEY": "sk"})
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*/*.json"))) < free:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        answered = dict(server.answered)
        assert len(answered) == free
        on_their_way = set(server.came) - set(answered)
        opened.set()
        time.sleep(0.3)
        server.answered.clear()  # replies to the dead, which nobody read
        assert subprocess.run(command, env={**os.environ, "OPENAI_API_KEY": "sk"}, timeout=120).returncode == 0
        assert len(server.came) == n
        for question, count in server.came.items():
            assert count == (2 if question in on_their_way else 1)
        assert not set(server.answered) & set(answered)


def test_keys(tmp_path, monkeypatch):
    with pytest.raises(PrerequisiteError, match=r"Next: set OPENAI_API_KEY or write the key into openai_api_key\.txt"):
        EndpointJudge(EndpointSettings())
    assert find_key(None, needed=False) == "none"
    Path("openai_api_key.txt").write_text("sk-file\n")
    assert find_key(None, needed=True) == "sk-file"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert find_key(None, needed=True) == "sk-env"
    assert find_key("sk-given", needed=True) == "sk-given"
    assert "sk" not in str(EndpointJudge(EndpointSettings()).identity)


def test_a_broken_kept_reply_is_asked_for_again(tmp_path):
    with serving() as server:
        judge = judge_at(server, tmp_path)
        judge.ask(questions(1))
        (path,) = tmp_path.glob("*/*.json")
        path.write_text(path.read_text()[:20])
        assert judge.ask(questions(1))[0].content == "9"
        assert sum(server.came.values()) == 2
        assert judge.cache.get(judge.identity, Question(({"role": "user", "content": "other"},), 5)) is None


def test_estimates():
    found = estimate("gpt-4o-mini", questions=2000, tokens_in=1_000_000, tokens_out=100_000)
    assert found.dollars == pytest.approx(0.21)
    assert str(found) == "up to 2,000 questions, about 1,000,000 tokens in and at most 100,000 out, about $0.21"
    assert "$" not in str(estimate("my-model", questions=1, tokens_in=1, tokens_out=1))
    assert text_tokens("x" * 400, "") == 108
