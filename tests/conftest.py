"""What do tests share? One Kafka and one TimescaleDB for the whole run, a fresh schema and a fresh topic for each."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from xdist.scheduler import LoadFileScheduling

from embedded.database import launch as database
from embedded.kafka import broker
from embedded.process import HOST, free_port
from tests.schema import Schema, emptied, remember

PARTITIONS = 4

SHARING_FOLDERS = ("tests/compose", "tests/dashboards")
"""Folders whose files share processes that take long to start."""


class FolderScheduling(LoadFileScheduling):
    """The tests of a file, or of a folder that shares processes, run in one process and one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.split("::", 1)[0])
        folder = path.parent.as_posix()
        return folder if folder in SHARING_FOLDERS else path.as_posix()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    return FolderScheduling(config, log)


@dataclass(frozen=True)
class RunningStack:
    """Addresses only: how the parts run is not a test's business."""

    kafka: str
    database_url: str


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Runs to its end on a loop of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def stack_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def kafka(stack_dir: Path) -> Iterator[str]:
    """The bootstrap address of the run's broker (`ML_GUARD_TEST_KAFKA`: that one instead)."""
    if given := os.environ.get("ML_GUARD_TEST_KAFKA"):
        yield given
        return
    port = free_port()
    part = broker.start(stack_dir / "kafka", port, stack_dir / "kafka.log")
    yield f"{HOST}:{port}"
    part.stop()


@pytest.fixture(scope="session")
def bare_database_url(stack_dir: Path) -> Iterator[str]:
    """The run's database server, whatever is in it (`ML_GUARD_TEST_DATABASE_URL`: that one instead)."""
    if given := os.environ.get("ML_GUARD_TEST_DATABASE_URL"):
        yield given
        return
    port = free_port()
    part = database.start(stack_dir / "database", port, stack_dir / "database.log")
    yield database.url(port)
    part.stop()


@pytest.fixture(scope="session")
def stack(kafka: str, bare_database_url: str) -> RunningStack:
    return RunningStack(kafka, bare_database_url)


_migrated: dict[str, Schema] = {}


async def _renew_schema(url: str) -> None:
    from stream.migrate import migrate  # tests of the bare parts need no schema

    connection = await asyncpg.connect(url)
    try:
        if url in _migrated and await emptied(connection, _migrated[url]):
            return
        await connection.execute("drop schema if exists ml_guard cascade")
        await migrate(url)
        _migrated[url] = await remember(connection)
    finally:
        await connection.close()


@pytest.fixture
def database_url(bare_database_url: str) -> str:
    """The database with the schema `ml_guard` as the migrations make it, and nothing in it."""
    run_apart(_renew_schema(bare_database_url))
    return bare_database_url


@pytest.fixture(scope="module")
def module_database_url(bare_database_url: str) -> str:
    """Like `database_url`, renewed once a module: for tests that keep apart by project."""
    run_apart(_renew_schema(bare_database_url))
    return bare_database_url


def as_role(url: str, role: str) -> str:
    """The address for a client with the rights of a service, ml_guard_api or ml_guard_worker, and no others."""
    return f"{url}{'&' if '?' in url else '?'}role={role}"


async def _create_topics(bootstrap: str, *names: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        settings = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=settings) for name in names])
    finally:
        await admin.close()


@pytest.fixture
def topic(kafka: str) -> str:
    """A new topic of four partitions, with `<name>.dead` beside it."""
    name = f"events-{uuid.uuid4().hex[:12]}"
    run_apart(_create_topics(kafka, name, f"{name}.dead"))
    return name
