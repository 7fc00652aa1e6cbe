"""Do workers of an older release and of this one share a topic on the newest schema, and count exactly?"""

from __future__ import annotations

import asyncio
import random
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from bench.events import PROJECTS, event_json, expected
from bench.fleet import Fleet
from ml_guard.event import encode_batch
from tests.chaos.conftest import fleet
from tests.chaos.site import check, until
from tests.conftest import PARTITIONS, as_role
from tests.upgrade.make import path_of, unpacked
from tests.upgrade.test_releases import BEFORE_THE_FIRST_RELEASE, NAMES

__all__ = ["fleet"]

pytestmark = pytest.mark.stack
BATCH = 25
"""Events of one record."""


class Sender:
    """Sends batches until it is told to stop; about a third of them once more, to any partition."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._chance = fleet, random.Random(5)
        self.events = self.again = 0
        self._enough = asyncio.Event()
        self._sending = asyncio.ensure_future(self._send())

    async def stop(self) -> None:
        self._enough.set()
        await self._sending

    async def _send(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._fleet.kafka, acks="all")
        await producer.start()
        earlier: list[bytes] = []
        try:
            while not self._enough.is_set():
                for place, project in enumerate(PROJECTS):
                    numbers = range(self.events + place, self.events + len(PROJECTS) * BATCH, len(PROJECTS))
                    made = [event_json(number) for number in numbers]
                    earlier.append(encode_batch(made, project_id=project, batch_id=f"batch {numbers.start}"))
                    await self._to_any(producer, earlier[-1])
                self.events += len(PROJECTS) * BATCH
                if self._chance.random() < 0.6:
                    await self._to_any(producer, self._chance.choice(earlier[-40:]))
                    self.again += BATCH
                await asyncio.sleep(0.004)
        finally:
            await producer.stop()

    async def _to_any(self, producer: AIOKafkaProducer, record: bytes) -> None:
        partition = self._chance.randrange(PARTITIONS)
        await producer.send_and_wait(self._fleet.topic, record, partition=partition)


class Fences:
    """Who has which partition, and how far it is."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def _rows(self) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._fleet.database_url)
        try:
            return await connection.fetch(
                'select "partition", owner, epoch, next_offset from ml_guard.stream_fence where topic = $1',
                self._fleet.topic,
            )
        finally:
            await connection.close()

    async def worked_on_by(self, *processes: subprocess.Popen[bytes]) -> dict[int, int]:
        """Wait until these have all partitions, each one at least, and each has written what it read of each of its own."""
        wanted = {process.pid for process in processes}
        begun: dict[tuple[int, str], int] = {}

        async def worked() -> dict[int, int] | None:
            rows = await self._rows()
            owners = {row["partition"]: int(row["owner"].rpartition(":")[2]) for row in rows}
            if set(owners.values()) != wanted or len(owners) != PARTITIONS:
                begun.clear()
                return None
            on = [row["next_offset"] > begun.setdefault(tuple(row)[:2], row["next_offset"]) for row in rows]
            return owners if all(on) else None

        try:
            found: dict[int, int] = await until(worked, f"{wanted} work on all partitions")
        except AssertionError as error:
            rows = [tuple(row) for row in await self._rows()]
            raise AssertionError(f"{error}\n{rows}\n{self._fleet.logs()}") from None
        return found


def moved(
    before: dict[int, int],
    after: dict[int, int],
    one: subprocess.Popen[bytes],
    other: subprocess.Popen[bytes],
) -> bool:
    """Whether a partition went from one process to the other."""
    return any((before[p], after[p]) == (one.pid, other.pid) for p in before)


@pytest.mark.parametrize("name", NAMES)
async def test_workers_of_two_releases_share_a_topic_and_take_over_from_each_other(
    name: str, fleet: Fleet, tmp_path: Path
) -> None:
    owner_url, fleet.database_url = fleet.database_url, as_role(fleet.database_url, "ml_guard_worker")
    tree = unpacked(name, tmp_path / "old")
    with (tree / "stream/__init__.py").open("a") as code:
        code.write("\nprint('code:', __file__, flush=True)\n")
    # Before the first release workers had the owner's login.
    login = {"ML_GUARD_DATABASE_URL": owner_url} if name in BEFORE_THE_FIRST_RELEASE else {}

    def start_old() -> subprocess.Popen[bytes]:
        return fleet.start(**path_of(tree), **login)

    fences = Fences(fleet)
    sender = Sender(fleet)
    old, new = start_old(), fleet.start()
    both = await fences.worked_on_by(old, new)
    fleet.kill(old)
    alone = await fences.worked_on_by(new)
    assert moved(both, alone, old, new)
    second = start_old()
    both = await fences.worked_on_by(second, new)
    assert moved(alone, both, new, second)
    fleet.kill(new)
    alone = await fences.worked_on_by(second)
    assert moved(both, alone, new, second)
    await sender.stop()
    await fleet.drained()
    for process in (old, second):
        assert f"code: {tree}/stream/__init__.py" in fleet.log_of(process)

    await check(owner_url, range(sender.events))
    connection = await asyncpg.connect(owner_url)
    try:
        assert await ledger(connection) == (sender.events + sender.again, 0, sender.again)
        wanted = {key: one.events for key, one in expected(np.arange(sender.events)).items()}

        async def rolled() -> bool:
            rows = await connection.fetch(
                "select project_id, model_id, day, requests from ml_guard.metric_day"
            )
            return {tuple(row)[:3]: row["requests"] for row in rows} == wanted

        await until(rolled, "the results of all days")
    finally:
        await connection.close()


async def ledger(connection: Any) -> tuple[int, ...]:
    """Events decoded, dead and duplicate."""
    return tuple(
        await connection.fetchrow(
            "select sum(decoded)::bigint, sum(dead)::bigint, sum(duplicate)::bigint from ml_guard.ledger_day"
        )
    )
