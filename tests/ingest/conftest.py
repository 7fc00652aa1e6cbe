"""An ingestion without Kafka: the real database, a log that is a list, a dead letter topic that is a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from stream.catalog import Catalog
from stream.ingest.decode import DeadLetter
from stream.ingest.failpoints import Failpoints
from stream.ingest.ingestion import Ingestion
from stream.ingest.log import Log
from stream.ingest.records import PartitionBatch
from stream.settings import Settings
from stream.store.dead_letters import DeadLetterRow
from stream.store.pool import Pool, connect
from tests.conftest import as_role

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
TOPIC = "log"


@dataclass
class FakeLogs:
    """The partitions' logs: lists of (value, arrival in milliseconds)."""

    records: dict[int, list[tuple[bytes | None, int]]] = field(
        default_factory=lambda: {p: [] for p in range(4)}
    )
    identity: str = "log-1"
    first: dict[int, int] = field(default_factory=dict)
    end: dict[int, int] = field(default_factory=dict)

    def append(self, partition: int, *values: bytes | None, at: datetime = NOW) -> None:
        self.records[partition] += [(value, int(at.timestamp() * 1000)) for value in values]

    def batch(self, partition: int, epoch: int, lo: int, hi: int | None = None) -> PartitionBatch:
        some = self.records[partition][lo:hi]
        hi = lo + len(some)
        values = [value for value, _ in some]
        size = sum(len(value) for value in values if value is not None)
        return PartitionBatch(
            TOPIC, partition, epoch, lo, hi, range(lo, hi), [at for _, at in some], values, size
        )


class FakeBroker:
    """Says what the logs hold; remembers what it was asked to do."""

    def __init__(self, logs: FakeLogs) -> None:
        self.fake = logs
        self.places: list[dict[int, int | None]] = []
        self.hints: list[dict[int, int]] = []
        self.unfolded = 0
        self.own = set(logs.records)

    async def logs(self, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
        fake = self.fake
        return {
            p: Log(fake.identity, fake.first.get(p, 0), fake.end.get(p, len(fake.records[p])))
            for p in partitions
        }

    async def partitions(self, topic: str) -> set[int]:
        return set(self.fake.records)

    async def place(self, topic: str, offsets: dict[int, int | None]) -> None:
        self.places.append(offsets)

    async def commit_hint(self, topic: str, offsets: dict[int, int]) -> None:
        self.hints.append(offsets)

    def assigned(self) -> set[int]:
        return self.own

    def folded(self, nbytes: int) -> None:
        self.unfolded += nbytes


class FakeDeadLetters:
    """A dead letter topic."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def send(self, topic: str, partition: int, letters: list[DeadLetter]) -> list[DeadLetterRow]:
        rows = []
        for letter in letters:
            at = datetime.fromtimestamp(letter.appended_ms / 1000, UTC)
            rows.append(
                DeadLetterRow(
                    topic,
                    partition,
                    letter.offset,
                    letter.index,
                    letter.project_id,
                    letter.reason,
                    letter.detail,
                    at,
                    0,
                    len(self.letters),
                )
            )
            self.letters.append(letter)
        return rows


@dataclass
class Bench:
    """One worker's ingestion and what it is given."""

    ingestion: Ingestion
    logs: FakeLogs
    broker: FakeBroker
    dead: FakeDeadLetters
    pool: Pool
    catalog: Catalog

    async def claim(self, *partitions: int) -> dict[int, int | None]:
        self.broker.own = set(partitions or range(4))
        return await self.ingestion.claims.claim(self.broker.own)

    async def read(self, *partitions: int, hi: int | None = None) -> None:
        """Take everything that the logs hold behind where each partition stands."""
        for number in partitions or range(4):
            partition = self.ingestion.claims.partitions[number]
            batch = self.logs.batch(number, partition.epoch, partition.next_offset, hi)
            if len(batch):
                await self.ingestion.take(batch)

    async def checkpoint(self, *partitions: int) -> list[bool]:
        return [
            await self.ingestion.checkpoint(self.ingestion.claims.partitions[number])
            for number in partitions or range(4)
        ]

    async def settle(self) -> None:
        """Until partitions that were given up are claimed again."""
        async with asyncio.timeout(10):
            while self.ingestion.claims.coming_back:
                await asyncio.sleep(0.02)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.pool.acquire() as connection:
            return await connection.fetch(query, *arguments)

    async def ends(self) -> dict[int, int]:
        """The end offsets of the logs."""
        return {partition: len(records) for partition, records in self.logs.records.items()}

    async def value(self, query: str, *arguments: Any) -> Any:
        return (await self.fetch(query, *arguments))[0][0]

    async def events(self, project: str = "p") -> int:
        """Events in the state, over shards and days."""
        found = await self.value(
            "select coalesce(sum(n), 0)::bigint from ml_guard.day_sketch where kind = 'events' and project_id = $1",
            project,
        )
        return int(found)

    async def ledger(self) -> list[tuple[str, int, int, int]]:
        """(project, decoded, dead, duplicate)."""
        rows = await self.fetch(
            """select project_id, sum(decoded)::bigint, sum(dead)::bigint, sum(duplicate)::bigint
                 from ml_guard.ledger_day group by 1 order by 1"""
        )
        return [tuple(row) for row in rows]


def event(**more: Any) -> bytes:
    """A good event of project p, an hour before NOW unless told otherwise."""
    at = (NOW - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    return json.dumps({"project_id": "p", "model_id": "m", "timestamp": at, **more}).encode()


def batch(*events: bytes, batch_id: str | None = None, project_id: str = "p", part: int = 0) -> bytes:
    """A record that holds many."""
    from ml_guard.event import encode_batch

    return encode_batch(events, project_id=project_id, batch_id=batch_id, part=part)


async def add_project(pool: Pool, project: str, zone: str = "UTC", *, by_event_id: bool = False) -> None:
    async with pool.acquire() as connection:
        await connection.execute(
            "insert into ml_guard.project (project_id, dedupe_by_event_id) values ($1, $2)",
            project,
            by_event_id,
        )
        await connection.execute(
            "insert into ml_guard.project_zone (project_id, effective_from, zone) values ($1, '-infinity', $2)",
            project,
            zone,
        )


MakeBench = Callable[..., Any]


FILLED = (
    "project project_zone model stream_fence seen_batch dead_letter day_change day_close ledger_day day_sketch "
    "bin_count traffic_minute baseline baseline_feature metric_day feature_day client_count"
)


@asynccontextmanager
async def benches(database_url: str) -> AsyncIterator[MakeBench]:
    """Makes workers over one empty database; the project `p` (UTC) exists."""
    pools: list[Pool] = []

    async def make(logs: FakeLogs | None = None, **settings: Any) -> Bench:
        pool = await connect(as_role(database_url, "ml_guard_worker"))
        if not pools:
            await add_project(pool, "p")
        pools.append(pool)
        clock = settings.pop("clock", lambda: NOW)
        chosen = Settings(**{"topic": TOPIC, "database_url": database_url, **settings})
        catalog = Catalog(pool, chosen.label_key)
        await catalog.load()
        dead = FakeDeadLetters()
        ingestion = Ingestion(
            chosen,
            pool,
            catalog,
            dead,  # type: ignore[arg-type]
            clock=clock,
            owner=f"worker-{len(pools)}",
            failpoints=Failpoints(),
        )
        logs = logs or FakeLogs()
        broker = FakeBroker(logs)
        ingestion.claims.broker = broker
        return Bench(ingestion, logs, broker, dead, pool, catalog)

    try:
        yield make
    finally:
        for pool in pools:
            pool.terminate()


@pytest.fixture
async def make_bench(module_database_url: str) -> AsyncIterator[MakeBench]:
    """Workers over the module's database, emptied."""
    connection = await asyncpg.connect(module_database_url)
    await connection.execute(
        "truncate " + ", ".join(f"ml_guard.{table}" for table in FILLED.split()) + " cascade"
    )
    await connection.close()
    async with benches(module_database_url) as make:
        yield make


@pytest.fixture
async def worker(make_bench: MakeBench) -> Bench:
    """One worker that has claimed all four partitions."""
    made: Bench = await make_bench()
    await made.claim()
    return made
