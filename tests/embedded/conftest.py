"""What do tests of the embedded stack need? Its own database server, also where the other tests use another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from embedded.database import launch as database
from embedded.process import Part, free_port


class Server:
    """A database server of a test's own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.data = folder / "database"
        self.log = folder / "database.log"
        self.options: tuple[str, ...] = ()
        self.part: Part | None = None

    @property
    def url(self) -> str:
        return database.url(self.port)

    def start(self, *options: str) -> Part:
        self.options = options or self.options
        self.part = database.start(self.data, self.port, self.log, options=self.options)
        return self.part

    def stop(self) -> None:
        if self.part is not None:
            self.part.stop()


@pytest.fixture(scope="session")
def embedded_url(request: pytest.FixtureRequest, stack_dir: Path) -> Iterator[str]:
    """The run's embedded server: the one that the other tests use too, where they use the embedded one."""
    if "ML_GUARD_TEST_DATABASE_URL" not in os.environ:
        yield request.getfixturevalue("bare_database_url")
        return
    port = free_port()
    part = database.start(stack_dir / "embedded", port, stack_dir / "embedded.log")
    yield database.url(port)
    part.stop()


@pytest.fixture(scope="session")
def pristine(stack_dir: Path) -> Path:
    """A new database's folder, made once, since making one takes longer than most tests."""
    first = Server(stack_dir / "pristine")
    first.start().stop()
    return first.data


@pytest.fixture
def server(tmp_path: Path, pristine: Path) -> Iterator[Server]:
    """Not started: a test chooses its options."""
    own = Server(tmp_path)
    shutil.copytree(pristine, own.data)
    yield own
    own.stop()


@pytest.fixture
async def connect(embedded_url: str) -> AsyncIterator[Any]:
    """Opens connections to the embedded server, closed at the test's end."""
    opened: list[asyncpg.Connection] = []

    async def open_one(**options: Any) -> asyncpg.Connection:
        connection = await asyncpg.connect(embedded_url, timeout=10, command_timeout=20, **options)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        await connection.close(timeout=5)
