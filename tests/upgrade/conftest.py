"""A product with a past: closed days, a baseline, an open day, dead letters, batches; and how two of them are compared."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from stream.closing.capture import capture
from stream.closing.close import Closer
from stream.closing.hours import HourKeeper
from stream.closing.reading import StateReader
from stream.closing.rollup import Roller
from stream.closing.steps import Rules
from stream.sketches import CategorySketch, NumericSketch
from stream.store.lease import CLOSER, take
from tests.chaos.conftest import native
from tests.closing.world import Clock
from tests.ingest.conftest import TOPIC, Bench, FakeLogs, MakeBench, batch, event, make_bench
from tests.ingest.product import MODEL, MONDAY, Product, in_toronto, local

__all__ = ["make_bench", "native"]

TUESDAY, WEDNESDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
COMPARED = {
    "day_sketch": "", "bin_count": "", "traffic_minute": "", "ledger_day": "", "seen_batch": "", "model": "",
    "dead_letter": "dead_partition dead_offset",
    "day_close": "first_seen_at last_change_at reopened_at closed_at barrier_at",
    "metric_day": "updated_at change_id", "feature_day": "updated_at", "feature_hour": "",
    "baseline": "", "baseline_feature": "", "project": "", "project_zone": "",
    "stream_fence": "epoch owner heartbeat_at catalog_generation",
}  # fmt: skip
"""Tables, and their columns that tell the time of the work and not the work."""


async def past(product: Product) -> dict[str, dict[str, list[Any]]]:
    """Two closed days, a baseline of the first, and half of an open day: all that a project has, and some poison.

    By local day and feature, every value that its events had.
    """
    raw: dict[str, dict[str, list[Any]]] = {}

    def keep(day: date, values: dict[str, Any]) -> None:
        for name, found in values.items():
            raw.setdefault(str(day), {}).setdefault(name, []).extend(list(found))

    for day in (MONDAY, TUESDAY):
        for shard in (0, 1):
            keep(day, await product.folds(day, 80, shard=shard))
        await product.closes(day)
        if day == MONDAY:
            await capture(product.worker.pool, *MODEL, [MONDAY], captured_by="test")
            await product.worker.catalog.poll()
    keep(WEDNESDAY, await product.folds(WEDNESDAY, 60, hours=(0, 11)))
    one = event(project_id="w", timestamp=iso(local(WEDNESDAY, 3)))
    await product.takes([batch(one, one, batch_id="a", project_id="w"), b"{", event(project_id="nobody")])
    await product.rolls()
    return raw


def since() -> list[bytes]:
    """What comes after the backup: a retry, a new batch, poison, and single events of the open day and a late one."""
    one = event(
        project_id="w", timestamp=iso(local(WEDNESDAY, 13)), features={"amount": 1.5, "country": "CA"}
    )
    late = event(project_id="w", timestamp=iso(local(TUESDAY, 13)), features={"amount": -1.5})
    again = event(project_id="w", timestamp=iso(local(WEDNESDAY, 3)))
    return [
        batch(again, again, batch_id="a", project_id="w"),
        batch(one, late, batch_id="b", project_id="w"),
        b"}",
        *[one] * 17,
        *[late] * 3,
    ]


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def finishes(product: Product) -> None:
    """All that is in the log is folded, the open day closes, the late events restate their day."""
    for shard in (0, 1):
        await product.worker.read(shard)
        await product.worker.checkpoint(shard)
    await product.closes(WEDNESDAY)
    await product.closes(WEDNESDAY)


async def resumed(make_bench: MakeBench, logs: FakeLogs, now: datetime, **settings: Any) -> Product:
    """Another worker and another leader on what is there."""
    clock = Clock(now)
    worker: Bench = await make_bench(logs, clock=clock, **settings)
    await worker.claim()
    async with worker.pool.acquire() as connection:
        await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
        lease = await take(connection, CLOSER, "next", timedelta(hours=1))
    assert lease is not None
    executor = ThreadPoolExecutor(1)
    hours = HourKeeper(clock)
    roller = Roller(StateReader(), executor, hours=hours)
    closer = Closer(StateReader(), executor, clock, worker.ends, TOPIC, Rules(settle=timedelta(days=-9999)))
    return Product(worker, clock, lease, roller, closer, hours)


async def contents(connection: Any) -> dict[str, list[str]]:
    """All that was counted, readable and in order."""
    found = {}
    for table, left_out in COMPARED.items():
        rows = await connection.fetch(f"select * from ml_guard.{table}")
        found[table] = sorted(_row(dict(row), left_out.split()) for row in rows)
    return found


def _row(row: dict[str, Any], left_out: list[str]) -> str:
    if row.get("sketch") is not None:
        if row["kind"] == "numeric":
            numeric = NumericSketch.from_bytes(row["sketch"])
            values, weights = numeric.weighted_values()
            row["sketch"] = [values.tolist(), weights.tolist(), numeric.mean, numeric.m2, numeric.non_finite]
        else:
            row["sketch"] = CategorySketch.from_bytes(row["sketch"]).items()
    return json.dumps({k: v for k, v in row.items() if k not in left_out}, default=str)


async def unbalanced(connection: Any) -> int:
    """How many rows of the ledgers do not balance."""
    days: int = await connection.fetchval("select count(*) from ml_guard.ledger_days where not balanced")
    partitions: int = await connection.fetchval(
        "select count(*) from ml_guard.ledger_partitions where not balanced"
    )
    return days + partitions


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """A project `w` with a past."""
    async with in_toronto(make_bench, local(MONDAY)) as made:
        await past(made)
        yield made
