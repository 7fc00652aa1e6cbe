"""What do tests of the API share? The real app under uvicorn on a free port, before the run's Kafka and TimescaleDB."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastapi import FastAPI

from api.__main__ import server_config
from api.app import create_app
from embedded.process import HOST, free_port
from stream.settings import Settings
from stream.store import keys
from tests.conftest import RunningStack, _create_topics, as_role, run_apart

DEMO = "demo-key"


@contextmanager
def served(settings: Settings, app: FastAPI | None = None) -> Iterator[str]:
    """The app with these settings, served as `python -m api` does, answering at the address given."""
    settings = settings.model_copy(update={"api_port": free_port()})
    server = uvicorn.Server(server_config(app or create_app(settings), settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    address = f"http://{HOST}:{settings.api_port}"
    for _ in range(200):
        try:
            httpx.get(f"{address}/api/v1/health")
            break
        except httpx.TransportError:
            threading.Event().wait(0.05)
    yield address
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the API did not end"


@dataclass(frozen=True)
class Door:
    """A running API with its database and topic."""

    address: str
    settings: Settings

    @property
    def owners_url(self) -> str:
        """The database without the API's role."""
        return self.settings.database_url.partition("?role=")[0]

    def client(self, key: str | None = DEMO, **more: Any) -> httpx.Client:
        """A client with this key."""
        headers = {} if key is None else {"X-API-Key": key}
        return httpx.Client(base_url=f"{self.address}/api/v1", headers=headers, timeout=30, **more)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Rows of a statement."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.owners_url)
            try:
                return await connection.fetch(statement, *values)
            finally:
                await connection.close()

        return result_of(ask())

    def key(self, scopes: list[str], projects: list[str] | None = None) -> str:
        """A new key with exactly these scopes."""

        async def make() -> str:
            connection = await asyncpg.connect(self.owners_url)
            try:
                return (await keys.create(connection, "test", scopes, projects))[1]
            finally:
                await connection.close()

        return result_of(make())

    def project(self, zone: str = "UTC") -> str:
        """A new project."""
        name = f"p-{uuid.uuid4().hex[:10]}"
        with self.client() as client:
            client.post("/projects", json={"project_id": name, "zone": zone}).raise_for_status()
        return name

    def records(self, topic: str | None = None) -> list[bytes]:
        """All values of the topic, partition by partition."""
        return result_of(_records(self.settings.kafka, topic or self.settings.topic))


def result_of(work: Coroutine[Any, Any, Any]) -> Any:
    """What it returns, on a loop of its own."""
    results: list[Any] = []

    async def keep() -> None:
        results.append(await work)

    run_apart(keep())
    return results[0]


async def _records(kafka: str, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        cluster = await consumer._client.fetch_all_metadata()
        places = [TopicPartition(topic, n) for n in sorted(cluster.partitions_for_topic(topic))]
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        found = []
        for place in places:
            await consumer.seek_to_beginning(place)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += [record.value for record in batch]
        return found
    finally:
        await consumer.stop()


@pytest.fixture(scope="module")
def make_settings(stack: RunningStack, module_database_url: str) -> Callable[..., Settings]:
    """Settings with a topic of their own."""

    def make(**more: Any) -> Settings:
        name = f"events-{uuid.uuid4().hex[:12]}"
        run_apart(_create_topics(stack.kafka, name, f"{name}.dead"))
        given = {
            "kafka": stack.kafka,
            "database_url": as_role(module_database_url, "ml_guard_api"),
            "topic": name,
            "dead_topic": f"{name}.dead",
            "demo_key": DEMO,
            "key_requests_per_s": 1e6,
            "wrong_keys_per_s": 1e6,
        }
        return Settings(**{**given, **more})

    return make


@pytest.fixture(scope="module")
def door(make_settings: Callable[..., Settings]) -> Iterator[Door]:
    """The API as it is started."""
    settings = make_settings()
    with served(settings) as address:
        yield Door(address, settings)
