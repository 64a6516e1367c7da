"""What ends a judge and what is the fault of one question; what a reply says of itself; limits over several calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from asks import questions
from fake_endpoint import FakeEndpoint, Handler, serving

from sae_bench.judges import CachedJudge, JudgeError, Question, ReplyCache, YesOrNo, traffic
from sae_bench.judges.completions import NEITHER, NO_LOGPROBS
from sae_bench.judges.endpoint import SAME_REFUSALS, EndpointJudge, EndpointSettings

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def judge_at(server: FakeEndpoint, folder: Path, **settings: Any) -> CachedJudge:
    return CachedJudge(EndpointJudge(EndpointSettings(base_url=server.base_url, **settings)), ReplyCache(folder))


def refusing(status: int, message: str, **details: Any) -> Any:
    def behaviour(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.refuse(status, message, **details)
        return True

    return behaviour


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_first_question_that_is_not_taken_ends_the_judge(status, tmp_path):
    with serving(refusing(status, "The model `gpt-x` does not exist")) as server:
        judge = judge_at(server, tmp_path)
        with pytest.raises(JudgeError, match=r"first, easy question.*gpt-x.*Next: see that --judge-model") as caught:
            judge.check()
        assert "\n" not in str(caught.value)
        with pytest.raises(JudgeError, match="first, easy question"):
            judge.ask(questions(3))
        assert sum(server.came.values()) == 1


def test_the_check_asks_now_whatever_is_kept(tmp_path):
    """A key that worked yesterday and was revoked since."""
    revoked = False

    def behaviour(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        if revoked:
            handler.refuse(401)
        return revoked

    with serving(behaviour) as server:
        judge_at(server, tmp_path).check()
        judge_at(server, tmp_path).check()
        assert sum(server.came.values()) == 2
        revoked = True
        with pytest.raises(JudgeError, match=r"refuses the key \(HTTP 401\)"):
            judge_at(server, tmp_path).check()


@pytest.mark.parametrize(
    ("message", "details"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with it. Use 'max_completion_tokens' instead.",
            {"code": "unsupported_parameter", "param": "max_tokens"},
        ),
        ("bad parameter", {"code": "unsupported_parameter", "param": "max_tokens"}),
        ("this deployment takes max_completion_tokens alone", {}),
    ],
)
def test_a_model_that_takes_max_completion_tokens_alone(message, details, tmp_path):
    def behaviour(handler: Handler, body: dict[str, Any], _before: int) -> bool:
        if "max_tokens" in body:
            handler.refuse(400, message, **details)
        return "max_tokens" in body

    with serving(behaviour) as server:
        judge = judge_at(server, tmp_path, concurrency=1)
        judge.check()
        assert [reply.content for reply in judge.ask(questions(4))] == ["9", "10", "11", "12"]
        assert ["max_tokens" in body for body in server.bodies] == [True, False, False, False, False, False]
        assert {body["max_completion_tokens"] for body in server.bodies[2:]} == {5}


def test_a_question_that_is_too_long_renames_nothing(tmp_path):
    message = "This model's maximum context length is 10 tokens: reduce the messages or max_tokens."
    with serving(refusing(400, message, param="max_tokens")) as server:
        (reply,) = judge_at(server, tmp_path).ask(questions(1))
        assert "maximum context length" in str(reply.error)
        assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [400, 403])
def test_a_few_equal_refusals_in_a_row_end_the_judge(status, tmp_path):
    with serving(refusing(status, "no such model")) as server:
        with pytest.raises(JudgeError, match=f"{status}|refuses the key"):
            judge_at(server, tmp_path, concurrency=1).ask(questions(50))
        assert sum(server.came.values()) == SAME_REFUSALS


def test_a_prompt_that_moderation_refuses_is_that_prompts_fault(tmp_path):
    """Every other question gets a 403; and where the server says it is moderation, any number in a row."""

    def every_other(handler: Handler, body: dict[str, Any], _before: int) -> bool:
        moderated = len(body["messages"][0]["content"]) % 2 == 0
        if moderated:
            handler.refuse(403, "flagged by moderation")
        return moderated

    with serving(every_other) as server:
        replies = judge_at(server, tmp_path / "a", concurrency=1).ask(questions(30))
    assert [reply.content is None for reply in replies] == [n % 2 == 1 for n in range(30)]
    assert all("flagged by moderation" in str(reply.no_answer) for reply in replies[1::2])
    with serving(refusing(400, "filtered", code="content_filter")) as server:
        replies = judge_at(server, tmp_path / "b").ask(questions(30))
    assert all(reply.error for reply in replies)


def test_the_rate_limit_holds_over_calls_and_judges(tmp_path, monkeypatch):
    """15 questions at 5 a second, in three calls of two judges: at least two seconds, whoever asks."""
    monkeypatch.setattr(traffic, "PERIOD", 1.0)
    with serving() as server:
        asked = questions(15)
        start = time.monotonic()
        first, second = (judge_at(server, tmp_path, requests_per_minute=5, concurrency=5) for _ in range(2))
        for judge, some in ((first, asked[:5]), (second, asked[5:10]), (first, asked[10:])):
            judge.ask(some)
        assert time.monotonic() - start > 1.9


def test_a_reply_says_why_it_ended_and_is_kept_with_it(tmp_path):
    sent: list[tuple[str | None, str, dict[str, Any]]] = [
        ("1, 2", "stop", {}),
        ("1, 2, 3", "length", {}),
        (None, "content_filter", {}),
        (None, "stop", {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
        (None, "stop", {"refusal": "I can't."}),
    ]

    def behaviour(handler: Handler, body: dict[str, Any], _before: int) -> bool:
        text, reason, more = sent[len(body["messages"][0]["content"]) - 9]
        handler.complete(text, reason, **more)
        return True

    with serving(behaviour) as server:
        replies = judge_at(server, tmp_path).ask(questions(5))
        assert judge_at(server, tmp_path).ask(questions(5)) == replies
        assert sum(server.came.values()) == 5
    reasons = [reply.no_answer for reply in replies]
    assert reasons == [
        None,
        None,
        "held back by a content filter",
        "the judge called a tool instead of answering",
        "refused: I can't.",
    ]
    assert [reply.is_cut_off for reply in replies] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("logprobs", "log_odds", "error"),
    [
        ({"Yes": -0.5, " no": -1.5, "x": -4.0}, 1.0, None),
        ({"Yes": -1.0, "yes": -1.0, "No": -1.0, "x": -4.0}, 0.6931, None),
        ({"Yes": -0.1, "Maybe": -3.0}, 2.9, None),
        ({"Perhaps": -0.1}, None, NEITHER),
        (None, None, NO_LOGPROBS),
    ],
)
def test_log_odds_come_from_the_likeliest_first_words(logprobs, log_odds, error, tmp_path):
    def behaviour(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.complete("Yes", "length", logprobs=logprobs)
        return True

    with serving(behaviour) as server:
        judge = judge_at(server, tmp_path)
        (reply,) = judge.ask([Question(({"role": "user", "content": "is it?"},), 1, YesOrNo())])
        assert server.bodies[0]["logprobs"] is True
        assert server.bodies[0]["top_logprobs"] == 20
        assert reply.error == error
        assert reply.log_odds == (None if log_odds is None else pytest.approx(log_odds, abs=1e-3))
        if error is not None:
            with pytest.raises(JudgeError, match="first, easy question"):
                judge_at(server, tmp_path).check(YesOrNo())
