"""Does anything secret get into a log? An API and a worker as processes, under use and misuse, and their logs read."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer

from bench.fleet import Fleet
from embedded.process import HOST, free_port
from stream.store import keys, projects
from tests.api.conftest import result_of

VALUE = "a-value-that-nobody-logs"
DEMO = "demo-key-of-this-test"


@pytest.fixture
def fleet(kafka: str, database_url: str, topic: str, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(kafka, database_url, topic, tmp_path / "workers") as workers:
        yield workers


async def prepared(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        await projects.create(connection, "p", "UTC", name="", dedupe_by_event_id=False)
        return (await keys.create(connection, "k", ["admin"], None))[1]
    finally:
        await connection.close()


async def answers(client: httpx.AsyncClient) -> None:
    """Until the API listens."""
    for _ in range(600):
        try:
            (await client.get("/health")).raise_for_status()
            return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise AssertionError("the API does not listen")


async def test_no_key_and_no_value_is_in_any_log(fleet: Fleet, tmp_path: Path) -> None:
    secret: str = result_of(prepared(fleet.database_url))
    wrong = keys.PREFIX + "W" * 43
    port = free_port()
    log = tmp_path / "api.log"
    environment = fleet.environment(ML_GUARD_API_PORT=str(port), ML_GUARD_DEMO_KEY=DEMO)
    worker = fleet.start()
    with log.open("wb") as out:
        api = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stdout=out, stderr=out)
    try:
        client = httpx.AsyncClient(base_url=f"http://{HOST}:{port}/api/v1", timeout=20)
        good = {"project_id": "p", "model_id": "m", "features": {"card": VALUE}}
        bad: list[Any] = [{"y_proba": VALUE}, {"timestamp": VALUE}, {"v": VALUE}, {"features": VALUE}]
        bodies = [good, [VALUE], *(good | more for more in bad)]
        async with client:
            await answers(client)
            statuses = set()
            for key in (secret, wrong, DEMO):
                headers = {"X-API-Key": key}
                for body in bodies:
                    statuses.add((await client.post("/events", json=body, headers=headers)).status_code)
                statuses.add(
                    (
                        await client.get("/models", params={"key": key, "cursor": VALUE}, headers=headers)
                    ).status_code
                )
                statuses.add((await client.get(f"/keys/{key}", headers=headers)).status_code)
                statuses.add(
                    (await client.patch("/projects/p", json={"zone": VALUE}, headers=headers)).status_code
                )
        assert {200, 401, 422} <= statuses
        producer_values = [
            b'{"project_id": "p", "model_id": "m", "latency_ms": "%b"}' % VALUE.encode(),
            VALUE.encode(),
        ]
        producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka)
        await producer.start()
        for value in producer_values:
            await producer.send_and_wait(fleet.topic, value)
        await producer.stop()
        await fleet.drained()
        assert fleet.terminate(worker) == 0
        api.terminate()
        assert api.wait(30) in (0, -signal.SIGTERM)
    finally:
        if api.poll() is None:
            api.kill()
            api.wait()
    said = log.read_text() + fleet.log_of(worker)
    assert "DEMO" in said
    assert "reads" in said
    for hidden in (secret, wrong, DEMO, VALUE, "ml_guard:ml_guard@"):
        assert hidden not in said
