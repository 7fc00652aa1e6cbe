"""Is what the bridge took counted once, seen by every list and the live stream, with a real worker between?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream.settings import Settings
from tests.api.conftest import Door, result_of, served
from tests.api.test_live import live


@pytest.fixture(scope="module")
def door(make_settings: Callable[..., Settings]) -> Iterator[Door]:
    """The API, and a worker on the same topic."""
    settings = make_settings()
    variables = {
        "ML_GUARD_KAFKA": settings.kafka,
        "ML_GUARD_DATABASE_URL": settings.database_url,
        "ML_GUARD_TOPIC": settings.topic,
        "ML_GUARD_DEAD_TOPIC": settings.dead_topic,
        "ML_GUARD_GROUP": f"group-{uuid.uuid4().hex[:8]}",
    }
    worker = subprocess.Popen([sys.executable, "-m", "stream"], env={**os.environ, **variables})
    try:
        with served(settings) as address:
            door = Door(address, settings)
            with door.client(None) as client:
                until(lambda: client.get("/ready").status_code == 200, 120)
            yield door
    finally:
        worker.terminate()
        worker.wait(30)


def until(holds: Callable[[], Any], timeout_s: float = 30) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def workers_know_the_catalog(door: Door) -> bool:
    with door.client() as client:
        state = client.get("/ready").json()
    return all(part["catalog_generation"] >= state["catalog_generation"] for part in state["partitions"])


def requests_of(door: Door, project: str) -> int:
    with door.client() as client:
        rows = client.get("/metrics/daily", params={"project_id": project}).json()["items"]
    return sum(row["requests"] for row in rows)


def events(project: str, n: int) -> list[dict[str, Any]]:
    return [
        {
            "project_id": project,
            "model_id": "m",
            "latency_ms": 10 + i,
            "y_pred": i % 2,
            "features": {"a": i, "c": "x"},
        }
        for i in range(n)
    ]


def test_a_batch_that_is_sent_three_times_counts_once(door: Door) -> None:
    project = door.project("America/Toronto")
    with door.client() as client:
        for _ in range(3):
            sent = client.post("/events", json=events(project, 200), headers={"Idempotency-Key": "again"})
            assert sent.json()["accepted"] == 200
        client.post("/events", json=events(project, 50)).raise_for_status()
        until(lambda: requests_of(door, project) >= 250)
        until(lambda: client.get("/ready").json()["lag"] == 0)
        assert requests_of(door, project) == 250
        ledger = client.get("/ledger", params={"project_id": project}).json()
        assert ledger["balanced"], ledger
        assert sum(row["duplicate"] for row in ledger["items"]) == 400
        (model,) = client.get("/models", params={"project_id": project}).json()["items"]
        assert model["model_id"] == "m"
        features = client.get("/features/daily", params={"project_id": project, "feature": "a"}).json()[
            "items"
        ]
        assert features[0]["n"] == 250
        drift = client.get("/drift/daily", params={"project_id": project}).json()["items"]
        assert {row["verdict"] for row in drift} == {"missing_baseline"}
        now = datetime.now(UTC)
        span = {"from": f"{now:%Y-%m-%d}T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        latency = client.get("/latency", params={"project_id": project, "model_id": "m", **span}).json()[
            "items"
        ]
        assert latency[0]["requests"] == 250


def test_an_event_is_on_the_live_stream_shortly_after_its_answer(door: Door) -> None:
    project = door.project()
    with door.client() as client, live(door, project_id=project) as stream:
        client.post("/events", json=events(project, 3)).raise_for_status()
        event = stream.next(10)
        assert event is not None
        assert (event[2]["project_id"], event[2]["status"]) == (project, "provisional")


def test_events_of_a_project_that_was_made_later_are_counted_when_sent_again(door: Door) -> None:
    name = f"later-{uuid.uuid4().hex[:8]}"

    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=door.settings.kafka, acks="all")
        await producer.start()
        for event in events(name, 5):
            await producer.send_and_wait(door.settings.topic, json.dumps(event).encode())
        await producer.stop()

    result_of(produce())
    with door.client() as client:
        params = {"reason": "unknown_project", "replayed": False}

        def buried() -> list[dict[str, Any]]:
            rows = client.get("/dead-letters", params=params).json()["items"]
            return rows if len(rows) == 5 else []

        first = until(buried)[0]
        shown = client.get(f"/dead-letters/{first['id']}").json()
        assert json.loads(shown["original_text"])["project_id"] == name
        client.post("/projects", json={"project_id": name, "zone": "UTC"}).raise_for_status()
        until(lambda: workers_know_the_catalog(door))
        again = client.post("/dead-letters/replay", json={"reason": "unknown_project"}).json()
        assert again == {"replayed": 5, "skipped": 0, "remaining": 0}
        until(lambda: requests_of(door, name) == 5)


def test_a_poisoned_event_is_refused_with_the_reason_that_the_worker_gives(door: Door) -> None:
    project = door.project()
    good = {"project_id": project, "model_id": "m"}
    bad = [
        {**good, "timestamp": "2025-01-01T00:00:00"},
        {**good, "timestamp": "2099-01-01T00:00:00Z"},
        {**good, "timestamp": "yesterday"},
        {**good, "y_proba": 3},
        {**good, "features": {"@x": 1}},
        {**good, "features": {f"f{i}": 1 for i in range(501)}},
        {**good, "model_id": "a\nb"},
        {**good, "v": 9},
    ]
    with door.client() as client:
        said = [
            result["reason"] for result in client.post("/events", json=[*bad, good]).json()["results"][:-1]
        ]

    async def produce() -> list[Any]:
        producer = AIOKafkaProducer(bootstrap_servers=door.settings.kafka, acks="all")
        await producer.start()
        try:
            return [
                await producer.send_and_wait(door.settings.topic, json.dumps(event).encode()) for event in bad
            ]
        finally:
            await producer.stop()

    places = [(place.partition, place.offset) for place in result_of(produce())]

    def reasons() -> dict[tuple[int, int], str]:
        rows = door.sql('select "partition", "offset", reason from ml_guard.dead_letter')
        found = {(row["partition"], row["offset"]): row["reason"] for row in rows}
        return found if all(place in found for place in places) else {}

    found = until(reasons)
    assert [found[place] for place in places] == said
