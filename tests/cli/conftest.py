"""A server that gives the answers it is told to give, and a way to type commands at it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

Answer = tuple[int, Any]


@dataclass
class FakeApi:
    """Answers by method and path; remembers what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, list[str]], Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def give(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, f"/api/v1{path}"] = (status, body)

    def give_list(self, path: str, *items: Any) -> None:
        self.give("GET", path, {"items": list(items), "next_cursor": None})


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi

    def _serve(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            body: Any = gzip.decompress(b"".join(self._chunks()))
        else:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
        where = urlsplit(self.path)
        self.api.asked.append((self.command, where.path, parse_qs(where.query), body))
        self.api.keys.append(self.headers.get("x-api-key"))
        missing = (404, {"title": "Not found", "detail": f"no answer for {where.path}"})
        status, answer = self.api.answers.get((self.command, where.path), missing)
        data = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": fake}))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Typed]


@pytest.fixture
def typed(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Type:
    """Types a command in this process, at the fake server."""
    from ml_guard.cli.app import run

    for name in [name for name in os.environ if name.startswith("ML_GUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ML_GUARD_URL", api.url)
    monkeypatch.setenv("ML_GUARD_API_KEY", "a-key")
    monkeypatch.setenv("ML_GUARD_DATA_DIR", str(tmp_path / "no-stack"))

    def type_(*words: str) -> Typed:
        capsys.readouterr()
        code = run(list(words))
        out, err = capsys.readouterr()
        return Typed(code, out, err)

    return type_


def in_a_shell(*words: str, **environment: str) -> Typed:
    """Types a command in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ML_GUARD_")}
    done = subprocess.run(
        [sys.executable, "-c", "from ml_guard.cli import main; main()", *words],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Typed(done.returncode, done.stdout, done.stderr)
