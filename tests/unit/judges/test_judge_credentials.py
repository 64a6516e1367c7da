"""No credential in anything that is kept or said: user and password of the URL, the key, what a server echoes."""

from __future__ import annotations

import base64
import logging
import traceback
from typing import Any

import pytest
from asks import questions
from fake_endpoint import Handler, serving

from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.judges import CachedJudge, JudgeError, ReplyCache
from sae_bench.judges.credentials import Access, public_address
from sae_bench.judges.endpoint import EndpointJudge, EndpointSettings, find_key

pytest.importorskip("openai")

KEY, USER, PASSWORD, CODE = "sk-very-secret-key", "ann", "p@ss/w:ord?", "query-secret-9"
ENCODED = "p%40ss%2Fw%3Aord%3F"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (KEY, PASSWORD, ENCODED, BASIC, CODE)


def with_credentials(url: str) -> str:
    return url.replace("http://", f"http://{USER}:{ENCODED}@") + f"?code={CODE}"


def echoing(status: int, *known: str) -> Any:
    """A server that says whatever it was sent and knows, in replies and in errors."""

    def behaviour(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        text = f"you sent {handler.headers.get('Authorization')} to {handler.path}; {' '.join(known)}"
        if status == 200:
            handler.complete(text, refusal=text)
        else:
            handler.refuse(status, text)
        return True

    return behaviour


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_nothing_that_is_kept_or_said_holds_a_credential(status, key, tmp_path, caplog, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)  # as --verbose does
    known = () if key else (PASSWORD, ENCODED, f"{USER}:{PASSWORD}")
    with serving(echoing(status, *known)) as server:
        url = server.base_url if key else with_credentials(server.base_url)
        judge = CachedJudge(
            EndpointJudge(EndpointSettings(base_url=url, max_retries=0), key), ReplyCache(tmp_path / "kept")
        )
        said = [str(judge.identity), repr(judge)]
        try:
            said += map(repr, judge.ask(questions(2)))
            judge.check()
        except JudgeError as error:
            said += traceback.format_exception(error)
        assert server.keys == {f"Bearer {key}" if key else f"Basic {BASIC}"}
        assert all(
            path.endswith("/chat/completions" if key else f"/chat/completions?code={CODE}") for path in server.paths
        )
    said += [path.read_text() for path in (tmp_path / "kept").rglob("*.json")] + caplog.messages
    assert len(said) > 3
    for secret in SECRETS:
        assert not any(secret in text for text in said), secret
    assert any(server.base_url in text for text in said), "the address itself may be told"
    if status in (200, 400):
        assert any("***" in text for text in said)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("https://ann:secret@h/v1", "https://h/v1"),
        ("https://ann:se@cr/et@h/v1", "https://h/v1"),
        ("https://ann:se?cr#et@h/v1", "https://h/v1"),
        ("https://secret@h/v1?code=secret#x", "https://h/v1"),
        ("ann:secret@h/v1", "h/v1"),
    ],
)
def test_the_public_address_is_the_rest(url, shown):
    assert public_address(url) == shown


@pytest.mark.parametrize(
    "url",
    ["https://ann:secret/x@h/v1", "https://ann:secret@h:x/v1", "ann:secret@h/v1", "ftp://ann:secret@h", "http://"],
)
def test_a_url_that_is_none_is_refused_without_telling_it(url):
    with pytest.raises(UsageError, match="base URL") as caught:
        Access.of(url, "none")
    assert "secret" not in "".join(traceback.format_exception(caught.value)[-1:])


def test_keys_that_servers_want_for_form_are_no_secrets():
    assert (
        Access.of("http://h/v1", "EMPTY").redact("EMPTY words, none of them secret")
        == "EMPTY words, none of them secret"
    )
    assert Access.of("http://h/v1", "k").redact("ok, Bearer k") == "ok, ***"


def test_a_key_with_line_breaks_is_refused_without_telling_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PrerequisiteError, match="characters that no key has") as caught:
        find_key("sk-secret\nsk-other", needed=True)
    assert "sk-" not in str(caught.value)
