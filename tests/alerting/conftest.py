"""A project on the run's TimescaleDB whose results the test writes, and receivers that really listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from stream.store.pool import Pool, connect
from tests.alerting.world import World
from tests.conftest import as_role

WRITTEN = (
    "alert", "alert_delivery", "alert_policy", "metric_day", "feature_day", "baseline_feature", "baseline",
    "traffic_minute", "ledger_day", "day_sketch", "stream_fence", "model", "project_zone", "project",
)  # fmt: skip


@pytest.fixture
async def pool(module_database_url: str) -> AsyncIterator[Pool]:
    """The module's database, emptied."""
    pool = await connect(as_role(module_database_url, "ml_guard_worker"), size=4)
    async with pool.acquire() as connection:
        for table in WRITTEN:
            await connection.execute(f"delete from ml_guard.{table}")
        await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
        await connection.execute("update ml_guard.alert_position set change_id = 0")
    yield pool
    pool.terminate()


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """A project in Toronto at noon of 3 March 2025, without a result."""
    async with pool.acquire() as connection:
        yield await World.begin(connection)


@dataclass
class Receiver:
    """A web server that keeps what it gets and answers what it is told to."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Answers to the next requests; 200 when there are none left. 0: takes it and hangs up without an answer."""
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.got]

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    async def waits_for(self, count: int) -> None:
        """Until it has had so many requests; the test's own timeout ends it."""
        while len(self.got) < count:
            await asyncio.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.receiver.answers.pop(0) if self.receiver.answers else 200
        self.receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        if status:
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver that listens."""
    made = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": made}))
    made.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/B0/secret-part"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as made:
        yield made
