"""Do a worker's metrics say what happened, by Prometheus' conventions, and are its logs JSON where that is set?"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from bench.events import PROJECTS, event_json, make_projects
from bench.fleet import Fleet
from embedded.process import HOST, free_port
from stream.ingest.lag import LagWatch
from stream.ingest.records import PartitionBatch
from stream.ingest.work import Partition
from stream.measures import MetricsPort, WorkerMeasures

EVENTS = 200
PASSWORD = "ml_guard:ml_guard@"


@pytest.fixture
async def fleet(kafka: str, database_url: str, topic: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await make_projects(database_url, PROJECTS)
    settings = {"log_format": "json", "worker_metrics_port": str(free_port())}
    with Fleet(kafka, database_url, topic, tmp_path, settings) as workers:
        yield workers


def port_of(fleet: Fleet, worker: int) -> int | None:
    said = re.search(rf"http://{HOST}:(\d+)/metrics", (fleet.log_dir / f"worker-{worker}.log").read_text())
    return None if said is None else int(said[1])


async def scraped(fleet: Fleet, worker: int) -> dict[str, Metric]:
    while (port := port_of(fleet, worker)) is None:
        await asyncio.sleep(0.05)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{HOST}:{port}/metrics")).text
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, label: str) -> dict[str, float]:
    return {s.labels[label]: s.value for s in family.samples if not s.name.endswith("_created")}


def number(family: Metric) -> float:
    (sample,) = [s for s in family.samples if not s.name.endswith("_created")]
    return float(sample.value)


@pytest.mark.timeout(150)
async def test_a_worker_counts_what_it_did_and_says_it_in_json(fleet: Fleet) -> None:
    fleet.start()
    await fleet.reading()
    producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka)
    await producer.start()
    try:
        for i in range(EVENTS):
            await producer.send(fleet.topic, event_json(i), partition=i % 4)
        events = ",".join(event_json(i).decode() for i in range(0, 6, 2))
        batch = f'{{"project_id":"kills_a","batch_id":"b","events":[{events}]}}'.encode()
        for _ in range(2):
            await producer.send(fleet.topic, batch, partition=0)
        bad = [b"\xff\xfe", b'{"project_id": "nobody", "model_id": "m"}', None]
        for value in bad:
            await producer.send(fleet.topic, value, key=b"k", partition=1)
        await producer.flush()
    finally:
        await producer.stop()
    await fleet.drained()
    found = await scraped(fleet, 1)
    while number(found["ml_guard_worker_state_model_days"]) == 0 or any(
        values(found["ml_guard_worker_lag_records"], "partition").values()
    ):
        await asyncio.sleep(0.1)
        found = await scraped(fleet, 1)
    assert values(found["ml_guard_worker_events"], "outcome") == {
        "merged": EVENTS + 3,
        "dead": 2,
        "duplicate": 3,
    }
    assert values(found["ml_guard_worker_records"], "outcome") == {
        "decoded": EVENTS + 2, "dead": 1, "duplicate": 1, "empty": 1,
    }  # fmt: skip
    assert values(found["ml_guard_worker_dead_letters"], "reason") == {
        "invalid_json": 1,
        "unknown_project": 1,
    }
    assert set(values(found["ml_guard_worker_lag_seconds"], "partition").values()) == {0}
    counted = {s.name: s.value for s in found["ml_guard_worker_checkpoint_seconds"].samples}
    assert counted["ml_guard_worker_checkpoint_seconds_count"] >= 4
    assert counted["ml_guard_worker_checkpoint_seconds_sum"] > 0
    assert number(found["ml_guard_worker_state_bytes"]) > 0
    assert number(found["ml_guard_worker_partitions_stopped"]) == 0
    assert number(found["ml_guard_worker_leader"]) == 1
    assert found["process_resident_memory_bytes"].samples[0].value > 1e7

    fleet.start()
    assert number((await scraped(fleet, 2))["ml_guard_worker_leader"]) == 0
    assert port_of(fleet, 1) != port_of(fleet, 2)
    for process in fleet.processes:
        assert fleet.terminate(process) == 0
    logs = [line for path in fleet.log_dir.glob("worker-*.log") for line in path.read_text().splitlines()]
    lines = [json.loads(line) for line in logs]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("has left" in line["message"] for line in lines)
    assert not any(PASSWORD in line for line in logs)


def test_a_port_that_is_taken_gives_way_to_the_next_and_metrics_never_stop_a_worker() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        opened = MetricsPort.open(WorkerMeasures(), HOST, port)
        assert opened is not None
        try:
            assert port < opened.port
            assert "ml_guard_worker_leader" in httpx.get(f"http://{HOST}:{opened.port}/metrics").text
        finally:
            opened.close()
    assert MetricsPort.open(WorkerMeasures(), "192.0.2.1", port) is None


def test_lag_in_seconds_is_the_age_of_the_oldest_record_without_a_checkpoint() -> None:
    partition = Partition(0, 1, 10, 10, 10)
    watch = LagWatch()

    def batch(lo: int, hi: int, at_s: int) -> PartitionBatch:
        times = [at_s * 1000] * (hi - lo)
        return PartitionBatch("t", 0, 1, lo, hi, range(lo, hi), times, [b""] * (hi - lo), 0)

    assert watch.seconds({0: partition}, {0: 0}, 100.0) == {0: 0.0}
    partition.take(batch(10, 12, 100))
    partition.take(batch(12, 15, 130))
    assert watch.seconds({0: partition}, {0: 5}, 150.0) == {0: 50.0}
    partition.written = 12
    assert watch.seconds({0: partition}, {0: 3}, 150.0) == {0: 20.0}
    partition.written = 15
    assert watch.seconds({0: partition}, {0: 0}, 160.0) == {0: 0.0}
    # The log goes on, and nothing of it was fetched: since when that is so.
    assert watch.seconds({0: partition}, {0: 7}, 200.0) == {0: 0.0}
    assert watch.seconds({0: partition}, {0: 9}, 230.0) == {0: 30.0}
    assert watch.seconds({}, {}, 240.0) == {}
