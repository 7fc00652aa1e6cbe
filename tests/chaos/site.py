"""Where does a fault test happen, and what must be true there in the end?"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import numpy as np

from bench.events import expected
from bench.fleet import Fleet
from bench.observed import differences, imbalances, observe
from embedded.kafka import broker
from embedded.process import HOST, Part, free_port
from tests.chaos.proxy import Proxy
from tests.conftest import _create_topics

WAIT_S = 90.0


def port_of(url: str) -> int:
    """The port of a database's URL."""
    port = urlsplit(url).port
    assert port is not None
    return port


def through(url: str, proxy: Proxy) -> str:
    """The same database by way of a proxy."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{HOST}:{proxy.port}"))


async def until(condition: Callable[[], Awaitable[Any] | Any], what: str, wait_s: float = WAIT_S) -> Any:
    """Wait until it is true; what it gave then."""
    end = time.monotonic() + wait_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"after {wait_s:.0f} s still not: {what}"
        await asyncio.sleep(0.05)


async def value(url: str, query: str, *arguments: Any) -> Any:
    """One value from the database."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def epochs(fleet: Fleet, url: str | None = None) -> int:
    """The sum of the partitions' epochs: it rises when one changes hands."""
    query = "select coalesce(sum(epoch), 0)::bigint from ml_guard.stream_fence where topic = $1"
    return int(await value(url or fleet.database_url, query, fleet.topic))


async def check(url: str, numbers: Sequence[int], *, dead: int | None = None) -> None:
    """The state is that of a run of these events without faults, and both ledgers balance."""
    connection = await asyncpg.connect(url)
    try:
        wrong = differences(expected(np.array(numbers)), await observe(connection))
        wrong += await imbalances(connection)
        assert not wrong, "\n".join(wrong)
        if dead is not None:
            counted = await connection.fetchval(
                "select coalesce(sum(dead), 0)::bigint from ml_guard.ledger_day"
            )
            indexed = await connection.fetchval("select count(*) from ml_guard.dead_letter")
            assert (counted, indexed) == (dead, dead), f"{counted} dead counted, {indexed} indexed, of {dead}"
    finally:
        await connection.close()


class OwnBroker:
    """A broker to be killed and started again; clients of `behind` reach it through `proxy` only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.proxy = Proxy(free_port())
        self.part: Part | None = None

    @property
    def kafka(self) -> str:
        """The address of clients that no fault touches."""
        return f"{HOST}:{self._port}"

    @property
    def behind(self) -> str:
        """The address of clients behind the proxy."""
        return f"{HOST}:{self.proxy.port}"

    def start(self) -> None:
        """Start it, or start it again over the same log."""
        ports = broker.Behind(self.proxy.target, self.proxy.port)
        self.part = broker.start(self._folder / "kafka", self._port, self._folder / "kafka.log", ports)

    def kill(self) -> int:
        """`kill -9`; its exit status."""
        assert self.part is not None
        self.part.kill()
        status = self.part.exit_code
        assert status is not None
        return status

    async def topic(self) -> str:
        """A new topic, and `<name>.dead`."""
        name = f"events-{uuid.uuid4().hex[:12]}"
        await _create_topics(self.kafka, name, f"{name}.dead")
        return name

    def __enter__(self) -> OwnBroker:
        self.start()
        self.proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.__exit__()
        if self.part is not None:
            self.part.stop()
