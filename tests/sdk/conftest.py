"""What do the SDK's tests share? A real HTTP server that answers as the bridge does, or fails as it is told."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from ml_guard.decoding import EventDecoder, split_events
from ml_guard.event import Event


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """How one request is answered instead of as usual: a status, or the connection dropped before or after."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    drop_after_taking: bool = False


class FakeBridge:
    """Takes batches as the bridge and the worker do: verdicts by the contract, a batch id counts once."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reports: list[dict[str, Any]] = []
        self.date: str | None = None
        self.refuse_reports: Answer | None = None
        self.answers: deque[Answer] = deque()
        self.routes: dict[tuple[str, str], list[Answer]] = {}
        self.always: Answer | None = None
        self.events: list[Event] = []
        self.seen_batches: set[str] = set()
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                bridge._handle(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def answer(status: int = 200, value: Any = None, **options: Any) -> Answer:
        return Answer(status, b"" if value is None else json.dumps(value).encode(), **options)

    def _handle(self, http: BaseHTTPRequestHandler) -> None:
        url = urlsplit(http.path)
        body = http.rfile.read(int(http.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in http.headers.items()}
        if url.path == "/api/v1/client-counts":
            self._report(http, body)
            return
        self.requests.append(Request(http.command, url.path, parse_qs(url.query), headers, body))
        route = self.routes.get((http.command, url.path))
        if route is not None:
            answer = route.pop(0) if len(route) > 1 else route[0]
        elif self.answers:
            answer = self.answers.popleft()
        else:
            answer = self.always or Answer()
        time.sleep(answer.delay_s)
        if answer.drop:
            http.close_connection = True
            return
        self._answer(http, answer, headers, body, url.path)

    def _report(self, http: BaseHTTPRequestHandler, body: bytes) -> None:
        answer = self.refuse_reports or self.answer(200, {"counts": 0, "unknown_projects": []})
        if answer.status == 200:
            self.reports.append(json.loads(body))
        self._answer(http, answer, {}, body, "")

    def counted(self) -> dict[tuple[str, str, str], int]:
        """What the reports come to, as the server merges them: the largest count of each client and day."""
        largest: dict[tuple[str, ...], int] = {}
        for report in self.reports:
            for count in report["counts"]:
                key = (
                    report["client_id"],
                    count["day"],
                    count["project_id"],
                    count["outcome"],
                    count["reason"],
                )
                largest[key] = max(largest.get(key, 0), count["events"])
        total: dict[tuple[str, str, str], int] = {}
        for (_, _, project, outcome, reason), events in largest.items():
            total[project, outcome, reason] = total.get((project, outcome, reason), 0) + events
        return total

    def _answer(
        self, http: BaseHTTPRequestHandler, answer: Answer, headers: dict[str, str], body: bytes, path: str
    ) -> None:
        content = answer.body
        if path == "/api/v1/events" and answer.status == 200 and not content:
            content = self._take(headers, body)
        if answer.drop_after_taking:
            http.close_connection = True
            return
        http.send_response_only(answer.status)
        http.send_header("Date", self.date or http.date_time_string())
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(content)))
        http.end_headers()
        http.wfile.write(content)

    def _take(self, headers: dict[str, str], body: bytes) -> bytes:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        verdicts = [EventDecoder().verdict(raw) for raw in split_events(body)]
        results: list[dict[str, object]] = []
        batch_id = headers.get("idempotency-key", "")
        for index, verdict in enumerate(verdicts):
            if isinstance(verdict, Event):
                results.append({"index": index, "status": "ok"})
                if batch_id not in self.seen_batches:
                    self.events.append(verdict)
            else:
                results.append(
                    {"index": index, "status": "error", "reason": verdict.reason, "detail": verdict.detail}
                )
        self.seen_batches.add(batch_id)
        good = sum(r["status"] == "ok" for r in results)
        return msgspec.json.encode({"accepted": good, "rejected": len(results) - good, "results": results})


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    fake = FakeBridge()
    yield fake
    fake.stop()


@pytest.fixture(autouse=True)
def _no_defect_is_swallowed() -> Iterator[None]:
    """The SDK catches everything; a test in which it caught a defect of its own fails all the same."""
    defects: list[str] = []

    class Catcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "the SDK failed" in record.getMessage():
                defects.append(record.getMessage())

    catcher = Catcher()
    logging.getLogger("ml_guard").addHandler(catcher)
    yield
    logging.getLogger("ml_guard").removeHandler(catcher)
    assert defects == []
