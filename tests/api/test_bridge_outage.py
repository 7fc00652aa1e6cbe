"""What does the bridge answer while Kafka is away, and is what it answered `ok` there when Kafka is back?"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from embedded.kafka import broker
from embedded.process import HOST, Part, free_port
from stream.settings import Settings
from tests.api.conftest import DEMO, Door, served
from tests.conftest import _create_topics, run_apart

ACK_S = 1.5


class Broker:
    """A broker of our own, to be frozen and killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.part: Part = broker.start(folder / "kafka", self.port, folder / "kafka.log")

    def freeze(self) -> None:
        os.kill(self.part.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.part.pid, signal.SIGCONT)

    def restart(self) -> None:
        self.part = broker.start(self.folder / "kafka", self.port, self.folder / "kafka.log")


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("outage"))
    yield made
    made.part.stop()


@pytest.fixture(scope="module")
def outage(own_broker: Broker, module_database_url: str) -> Iterator[Door]:
    kafka = f"{HOST}:{own_broker.port}"
    run_apart(_create_topics(kafka, "events", "events.dead"))
    settings = Settings(
        kafka=kafka,
        database_url=module_database_url,
        topic="events",
        demo_key=DEMO,
        bridge_ack_s=ACK_S,
        bridge_buffer_bytes=4 * 1_048_576,
    )
    with served(settings) as address:
        door = Door(address, settings)
        with door.client() as client:
            client.post("/projects", json={"project_id": "p", "zone": "UTC"}).raise_for_status()
        yield door


def send(client: httpx.Client, name: str, size: int = 0, **headers: str) -> httpx.Response:
    event = {"project_id": "p", "model_id": "m", "event_id": name, "features": {"x": "x" * size}}
    return client.post("/events", json=event, headers={"Idempotency-Key": name, **headers})


def ids(door: Door) -> list[str]:
    return [json.loads(raw)["events"][0]["event_id"] for raw in door.records()]


def held(door: Door) -> float:
    """Bytes that the bridge says it holds."""
    text = httpx.get(f"{door.address}/metrics").text
    return float(text.split("\nml_guard_bridge_buffer_bytes ")[1].split()[0])


def recovered(client: httpx.Client) -> bool:
    """Whether events are taken again; asks for half a minute."""
    for attempt in range(60):
        if send(client, f"after-{time.time_ns()}-{attempt}").status_code == 200:
            return True
        time.sleep(0.5)
    return False


def test_a_frozen_broker_is_a_503_and_the_retry_is_the_same_batch(own_broker: Broker, outage: Door) -> None:
    with outage.client() as client:
        assert send(client, "before").status_code == 200
        own_broker.freeze()
        try:
            began = time.monotonic()
            answer = send(client, "during")
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
            assert ACK_S * 0.9 < time.monotonic() - began < ACK_S + 2
            time.sleep(0.5)
            began = time.monotonic()
            assert (
                send(client, "at-once").status_code == 503
            )  # no wait any more: the oldest record is overdue
            assert time.monotonic() - began < 0.5
        finally:
            own_broker.thaw()
        assert recovered(client)
        assert send(client, "during").status_code == 200
    found = ids(outage)
    assert "before" in found
    assert found.count("during") in (1, 2)  # with one batch_id: a worker counts it once
    batch_ids = {json.loads(raw)["batch_id"] for raw in outage.records() if b'"during"' in raw}
    assert batch_ids == {"during"}


def test_a_full_buffer_is_a_503_and_memory_stays_bounded(own_broker: Broker, outage: Door) -> None:
    with outage.client(limits=httpx.Limits(max_connections=30)) as client:
        assert recovered(client)
        own_broker.freeze()
        try:
            with ThreadPoolExecutor(30) as pool:
                answers = list(pool.map(lambda i: send(client, f"full-{i}", 500_000), range(30)))
            codes = {answer.json()["code"] for answer in answers}
            assert codes == {"buffer_full", "broker_unavailable"}
            assert all("Retry-After" in answer.headers for answer in answers)
            assert 0 < held(outage) <= 4 * 1_048_576
        finally:
            own_broker.thaw()
        assert recovered(client)
    assert held(outage) < 100_000


def test_a_broker_that_was_killed_and_came_back_loses_nothing_answered_ok(
    own_broker: Broker, outage: Door
) -> None:
    answered: list[str] = []
    refused = 0
    with outage.client() as client:
        assert recovered(client)
        for phase in range(2):
            for index in range(20):
                answer = send(client, f"kill-{phase}-{index}")
                if answer.status_code == 200:
                    answered.append(f"kill-{phase}-{index}")
                else:
                    assert answer.status_code == 503
                    refused += 1
                if phase == 0 and index == 10:
                    own_broker.part.kill()
            if phase == 0:
                own_broker.restart()
                assert recovered(client)
    assert refused >= 1, "the broker was never away"
    assert len(answered) >= 30
    found = ids(outage)
    assert all(found.count(name) == 1 for name in answered)
