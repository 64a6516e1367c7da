"""An OpenAI-compatible server on loopback that misbehaves as it is told to, and counts what it was asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler", dict[str, Any], int], bool]
"""Gets the request and how often its question came before; returns whether it has dealt with it."""


class FakeEndpoint(ThreadingHTTPServer):
    """Answers every question with the number of its characters, unless `behaviour` does something else."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.lock = threading.Lock()
        self.came: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.at_once = 0
        self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    def handle_error(self, *_args: Any) -> None:
        """A client that has gone away is part of the game."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeEndpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        server = self.server
        with server.lock:
            before = server.came[question]
            server.came[question] += 1
            server.keys.add(self.headers.get("Authorization", ""))
            server.bodies.append(body)
            server.paths.append(self.path)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            if not server.behaviour(self, body, before):
                self.complete(str(len(question)))
                with server.lock:
                    server.answered[question] += 1
        finally:
            with server.lock:
                server.at_once -= 1

    def complete(
        self,
        text: str | None,
        finish_reason: str | None = "stop",
        *,
        logprobs: dict[str, float] | None = None,
        **more: Any,
    ) -> None:
        """A chat completion with this text.

        Args:
            logprobs: likeliest first words and their log-probabilities.
            more: further fields of the message, such as `refusal`.
        """
        message = {"role": "assistant", "content": text, **more}
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "message": message}
        if logprobs is not None:
            words = [{"token": word, "logprob": p, "bytes": None} for word, p in logprobs.items()]
            choice["logprobs"] = {"content": [{**words[0], "top_logprobs": words}]}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        content = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        self.send(200, json.dumps({**content, "usage": usage}))

    def send(self, status: int, text: str, *, kind: str = "application/json", **headers: str) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(
        self,
        status: int,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        **headers: str,
    ) -> None:
        """An error in the form of OpenAI's."""
        error = {"message": message or f"status {status}", "type": "x", "code": code, "param": param}
        self.send(status, json.dumps({"error": error}), **headers)

    def cut(self) -> None:
        """Break off in the middle of the reply."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"id": "x", "cho')
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_args: Any) -> None:
        pass


def well_behaved(_handler: Handler, _body: dict[str, Any], _before: int) -> bool:
    return False


@contextmanager
def serving(behaviour: Behaviour = well_behaved) -> Iterator[FakeEndpoint]:
    server = FakeEndpoint(behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
