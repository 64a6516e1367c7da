"""What lets a run into an endpoint, and the one place that keeps it out of everything that is written."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from sae_bench.errors import UsageError

HIDDEN = "***"
NO_KEY = "none"
_PLACEHOLDERS = frozenset({NO_KEY, "empty", "dummy", "not-needed", "no-key", "ollama", "lm-studio"})
"""Keys that local servers are given because clients want one; no secret."""
_SHORTEST_SECRET = 6
"""Shorter ones are looked for only where their form shows what they are: words of a reply may be as short."""


def public_address(url: str) -> str:
    """A URL without user, password, query and fragment, whatever else is wrong with it."""
    return re.split(r"[?#]", re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)?.*@", r"\1", url, flags=re.DOTALL), maxsplit=1)[0]


@dataclass(frozen=True)
class Access:
    """How an endpoint is reached.

    Attributes:
        address: without credentials; None is OpenAI's own.
        key: sent as `Authorization: Bearer`, unless the URL came with user and password.
        headers, query: sent with every request; they hold credentials.
    """

    address: str | None
    key: str = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, base_url: str | None, key: str) -> Access:
        """Take a base URL apart.

        Raises:
            UsageError: it is no http(s) URL, or a user or password in it is not percent-encoded.
        """
        secrets = _of_length(set() if key.lower() in _PLACEHOLDERS else {key}, f"Bearer {key}")
        if not base_url:
            return cls(None, key, _secrets=secrets)
        user, password, query = _parts(base_url)
        headers = {}
        if user is not None:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
            secrets += (pair, f"{user}:{password}", f"{quote(user, safe='')}:{quote(password, safe='')}")
            secrets += _of_length({password, quote(password, safe="")})
        secrets += _of_length(set(query.values()) | {quote(value, safe="") for value in query.values()})
        return cls(public_address(base_url), key, headers, query, secrets)

    @property
    def shown_address(self) -> str:
        """What messages call it."""
        return self.address or "OpenAI's endpoint"

    def redact(self, text: str) -> str:
        """The text with every credential of this endpoint hidden."""
        for secret in sorted(set(self._secrets), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


def _of_length(values: set[str], *always: str) -> tuple[str, ...]:
    return (*(value for value in sorted(values) if len(value) >= _SHORTEST_SECRET), *always)


def _parts(base_url: str) -> tuple[str | None, str, dict[str, str]]:
    """User, password and query of a URL."""
    shown = public_address(base_url)
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise UsageError(
            f"the judge's base URL '{shown}' is no http:// or https:// address, such as http://host:8000/v1."
        )
    if "@" in parts.path + parts.query + parts.fragment:
        raise UsageError("the judge's base URL has an @ behind its host: percent-encode user and password in it.")
    user = None if parts.username is None else unquote(parts.username)
    return user, unquote(parts.password or ""), dict(parse_qsl(parts.query, keep_blank_values=True))
