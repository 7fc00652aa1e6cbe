"""Workers are killed at every phase of a checkpoint, frozen, woken, added and removed: the counts are as without."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.events import produce
from bench.fleet import Fleet
from stream.ingest.failpoints import POINTS, VARIABLE
from tests.chaos.lasting import lasting
from tests.chaos.site import check, epochs, until
from tests.conftest import PARTITIONS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(lasting(400, 900))]
POISON = b'{"project_id": "kills_a", "model_id": "churn", "latency_ms": "slow"}'


async def bury(fleet: Fleet) -> None:
    """Records that become dead letters, one a partition: whichever is written first has one."""
    producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka)
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            await producer.send_and_wait(fleet.topic, POISON, partition=partition)
    finally:
        await producer.stop()


async def letters(fleet: Fleet) -> list[bytes]:
    """The keys of all records of the dead letter topic."""
    consumer = AIOKafkaConsumer(
        f"{fleet.topic}.dead", bootstrap_servers=fleet.kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[bytes] = []
        while len(found) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [record.key for record in records if record.key is not None]
        return found
    finally:
        await consumer.stop()


def frozen(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has been stopped by SIGSTOP."""
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def supervise(fleet: Fleet) -> None:
    """Start the last worker again if it has ended, as the supervisor does: without a database none starts."""
    if fleet.processes[-1].poll() is not None:
        fleet.start()


def wake(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGCONT)


@pytest.mark.chaos
async def test_a_worker_killed_at_each_phase_of_a_checkpoint_changes_no_count(fleet: Fleet) -> None:
    points = sorted(POINTS)
    sent = 0
    for point in points:
        armed = fleet.start(**{VARIABLE: point})
        await bury(fleet)
        await produce(fleet.kafka, fleet.topic, range(sent, sent + 800))
        sent += 800
        await until(lambda armed=armed: armed.poll() is not None, f"killed at {point}")
        assert armed.returncode == -signal.SIGKILL
    last = fleet.start()
    await fleet.drained()
    assert fleet.terminate(last) == 0
    await check(fleet.database_url, range(sent), dead=PARTITIONS * len(points))
    keys = await letters(fleet)
    assert len(set(keys)) == PARTITIONS * len(points)
    assert len(keys) > len(set(keys)), "no crash came between a dead letter and its checkpoint"


async def test_a_frozen_worker_that_wakes_behind_its_successor_writes_nothing(fleet: Fleet) -> None:
    """Past the session timeout, with a checkpoint in its hands and dead letters sent."""
    zombie = fleet.start(**{VARIABLE: "after_dead_letters:1:freeze"})
    await bury(fleet)
    await produce(fleet.kafka, fleet.topic, range(2_000))
    await until(lambda: frozen(zombie), "frozen")
    before = await epochs(fleet)
    heir = fleet.start()
    await fleet.drained()
    assert await epochs(fleet) > before
    await check(fleet.database_url, range(2_000), dead=PARTITIONS)

    wake(zombie)
    await until(lambda: "is no longer at epoch" in fleet.log_of(zombie), "refused by the fence")
    await produce(fleet.kafka, fleet.topic, range(2_000, 4_000))
    await fleet.drained()
    for process in (zombie, heir):
        assert fleet.terminate(process) == 0
    await check(fleet.database_url, range(4_000), dead=PARTITIONS)


@pytest.mark.chaos
async def test_a_worker_frozen_inside_its_transaction_holds_nobody_up_for_long(fleet: Fleet) -> None:
    zombie = fleet.start(**{VARIABLE: "before_database_commit:1:freeze"})
    await produce(fleet.kafka, fleet.topic, range(2_000))
    await until(lambda: frozen(zombie), "frozen")
    fleet.start()
    await fleet.drained(wait_s=60, meanwhile=partial(supervise, fleet))
    await check(fleet.database_url, range(2_000))

    wake(zombie)
    await until(lambda: "its checkpoint failed" in fleet.log_of(zombie), "its transaction was ended")
    await produce(fleet.kafka, fleet.topic, range(2_000, 4_000))
    await fleet.drained()
    for process in (zombie, fleet.processes[-1]):
        assert fleet.terminate(process) == 0
    await check(fleet.database_url, range(4_000))


@pytest.mark.chaos
async def test_workers_that_come_and_go_every_few_seconds_change_no_count(fleet: Fleet) -> None:
    rounds, every_s = int(lasting(5, 24)), lasting(1.0, 5.0)
    oldest = fleet.start()
    await fleet.reading()
    stop, sent = asyncio.Event(), 0

    async def send() -> None:
        nonlocal sent
        while not stop.is_set():
            await produce(fleet.kafka, fleet.topic, range(sent, sent + 1_000), rate=1_000)
            sent += 1_000

    sending = asyncio.ensure_future(send())
    handed_over = await epochs(fleet)
    for _ in range(rounds):
        began, added = time.monotonic(), fleet.start()
        await until(partial(_rose, fleet, handed_over), "partitions changed hands")
        assert fleet.terminate(oldest) == 0
        await asyncio.sleep(every_s - (time.monotonic() - began))
        oldest, handed_over = added, await epochs(fleet)
    stop.set()
    await sending
    await fleet.drained()
    await check(fleet.database_url, range(sent))


async def _rose(fleet: Fleet, before: int) -> bool:
    return await epochs(fleet) > before
