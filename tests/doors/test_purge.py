"""Does a bad day leave whole, and does nothing but new events bring it back: no worker's memory, no leader?"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from stream.store.lease import CLOSER, LeaseLostError, fence, take
from stream.store.purge import TABLES, PurgeReceipt, purge_day
from tests.api.conftest import Door
from tests.ingest.conftest import NOW, Bench, MakeBench, batch, event, make_bench, worker
from tests.ingest.product import MONDAY, Product, in_toronto, local
from tests.sql.test_compression import compress

__all__ = ["make_bench", "worker"]

TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)
BY_DAY = """
select c.table_name from information_schema.columns c
join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'ml_guard' and t.table_type = 'BASE TABLE' and c.column_name in ('model_id', 'day_start')
group by c.table_name having count(*) = 2
"""


async def purge(worker: Bench, day: date = TODAY, model: str = "m", **how: Any) -> PurgeReceipt | None:
    chosen = {"project_id": "p", "endpoint": None, "forget_batches": False} | how
    async with worker.pool.acquire() as connection:
        return await purge_day(
            connection, model_id=model, day=day, purged_by="k", kafka={"t": None}, **chosen
        )


async def left(worker: Bench, day: date = TODAY, model: str = "m") -> dict[str, int]:
    """How many rows of the day each table has."""
    begin = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    found = {
        table: await worker.value(
            f"select count(*) from ml_guard.{table} where model_id = $1 and day_start = $2", model, begin
        )
        for table in TABLES
    }
    minutes = "select count(*) from ml_guard.traffic_minute where model_id = $1 and minute between $2 and $3"
    return found | {
        "traffic_minute": await worker.value(minutes, model, begin, begin + timedelta(hours=23.99))
    }


async def balanced(worker: Bench) -> bool:
    days = await worker.value("select count(*) from ml_guard.ledger_days where not balanced")
    return not days and not await worker.value(
        "select count(*) from ml_guard.ledger_partitions where not balanced"
    )


async def folded(worker: Bench, *records: bytes, shard: int = 0) -> None:
    worker.logs.append(shard, *records)
    await worker.read(shard)
    assert await worker.checkpoint(shard) == [True]


def yesterday(**more: Any) -> bytes:
    return event(timestamp=f"{YESTERDAY}T09:00:00Z", **more)


async def test_a_day_leaves_and_its_neighbours_stay(worker: Bench, module_database_url: str) -> None:
    known = {row["table_name"] for row in await worker.fetch(BY_DAY)}
    assert known - set(TABLES) == {"alert"}, "what was told is history; all else by day must leave"
    for shard in (0, 1):
        await folded(worker, *[event(features={"a": 1.0})] * 5, *[yesterday()] * 3, shard=shard)
    await folded(worker, event(model_id="other"), event(endpoint="second"))
    owner = await asyncpg.connect(module_database_url)
    for table in ("day_sketch", "traffic_minute"):
        assert await compress(owner, table)  # as days of two weeks ago are
    await owner.close()
    receipt = await purge(worker)
    assert receipt is not None
    assert receipt.events == 11
    assert set((await left(worker)).values()) == {0}
    assert await worker.events() == 7
    assert receipt.rows["day_sketch"] == 2 * 2 + 1
    assert (await left(worker, YESTERDAY))["traffic_minute"] == 2
    assert await worker.value("select sum(deleted)::bigint from ml_guard.ledger_days") == 11
    assert await balanced(worker)
    kept = (await worker.fetch("select * from ml_guard.deletion_receipt where day = $1", TODAY))[-1]
    assert (kept["project"], kept["model"], kept["endpoint"], kept["events"]) == ("p", "m", None, 11)
    assert json.loads(kept["rows"]) == receipt.rows
    assert await purge(worker) is None
    assert await purge(worker, model="nobody") is None


async def test_one_endpoint_alone_may_leave(worker: Bench) -> None:
    await folded(worker, *[event()] * 5, *[event(endpoint="second")] * 2)
    receipt = await purge(worker, endpoint="second")
    assert receipt is not None
    assert (receipt.events, await worker.events()) == (2, 5)
    assert await balanced(worker)


async def test_a_worker_with_the_day_in_memory_does_not_bring_it_back(worker: Bench) -> None:
    await folded(worker, *[event()] * 5)
    worker.logs.append(0, *[event()] * 7)
    await worker.read(0)  # in memory, on top of the five
    assert await purge(worker) is not None
    assert await worker.checkpoint(0) == [False]
    await worker.settle()
    assert await worker.events() == 0
    assert await balanced(worker)
    # What Kafka still held unread counts, without the five.
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    assert await worker.events() == 7
    assert await balanced(worker)


async def test_corrected_events_count_and_a_batch_under_its_old_name_only_if_it_was_forgotten(
    worker: Bench,
) -> None:
    async def again(*records: bytes) -> int:
        await worker.ingestion.claims.beat(0)
        await worker.settle()
        await folded(worker, *records)
        return await worker.events()

    bad = batch(event(), event(), batch_id="b")
    await folded(worker, bad)
    assert await purge(worker) is not None
    assert await again(bad) == 0, "the same batch is a retry"
    assert await again(batch(event(), event(), event(), batch_id="corrected")) == 3
    receipt = await purge(worker, forget_batches=True)
    assert receipt is not None
    assert receipt.rows["seen_batch"] == 2
    assert await again(bad, batch(event(), event(), event(), batch_id="corrected")) == 5
    assert await balanced(worker)


async def test_a_closed_day_leaves_at_once_and_a_backfill_is_its_next_revision(make_bench: MakeBench) -> None:
    async with in_toronto(make_bench, local(MONDAY)) as product:
        await product.folds(MONDAY, 40)
        await product.closes(MONDAY)
        assert await revisions(product) == [(1, 40)]
        await purge(product.worker, MONDAY, project_id="w")
        assert await revisions(product) == []
        assert await product.rows(MONDAY) == {}
        async with product.worker.pool.acquire() as connection:
            with pytest.raises(LeaseLostError):  # whoever was calculating the day writes it no more
                async with connection.transaction():
                    await fence(connection, product.lease)
            lease = await take(connection, CLOSER, "next", timedelta(hours=1))
        assert lease is not None
        product.lease = lease
        await product.worker.ingestion.claims.beat(0)
        await product.worker.settle()
        await product.folds(MONDAY, 60)
        await product.closes(MONDAY)
        assert await revisions(product) == [(2, 60)]
        assert await balanced(product.worker)


async def revisions(product: Product) -> list[tuple[int, int]]:
    rows = await product.worker.fetch(
        "select revision, requests from ml_guard.metric_day where project_id = 'w' order by day"
    )
    return [(row["revision"], row["requests"]) for row in rows]


def test_the_api_purges_and_says_what_stays_in_kafka_and_in_which_baselines(door: Door) -> None:
    project = door.project()
    where = {"project_id": project, "model_id": "m", "day": "2025-01-06"}
    values = "values ($1, 'm', 'e', '2025-01-06', '2025-01-06', '2025-01-07', 'UTC'"
    door.sql(
        f"""insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
            status, requests) {values}, 1, 'final', 4)""",
        project,
    )
    door.sql(
        """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
        values ($1, 'm', 'e', '2025-01-06 10:00Z', 0, 4), ($1, 'm', 'e', '2025-01-07 00:00Z', 0, 1)""",
        project,
    )
    door.sql(
        """insert into ml_guard.baseline (project_id, model_id, endpoint, version, day_starts, days, events)
        values ($1, 'm', 'e', 3, '{2025-01-06}', '{2025-01-06}', 4)""",
        project,
    )
    hours = "select requests from ml_guard.traffic_hour_utc where project_id = $1 order by hour"
    with door.client(door.key(["admin"], [project])) as client:
        nothing = client.post("/purge", json=where | {"endpoint": "other"})
        assert (nothing.status_code, nothing.json()["code"]) == (404, "unknown_day")
        receipt = client.post("/purge", json=where).raise_for_status().json()
        assert client.post("/purge", json=where).json()["code"] == "unknown_day"
        assert client.get("/metrics/daily", params={"project_id": project}).json()["items"] == []
    assert {row["table"]: row["rows"] for row in receipt["rows"]} == {"metric_day": 1, "traffic_minute": 1}
    assert [topic["topic"] for topic in receipt["kafka"]] == [door.settings.topic, door.settings.dead_topic]
    assert receipt["baselines"] == [{"endpoint": "e", "version": 3}]
    assert [row["requests"] for row in door.sql(hours, project)] == [1]


def test_a_project_that_purges_day_after_day_leaves_the_others_time_to_be_written(door: Door) -> None:
    """Each purge takes every partition from its worker: one after the other, nothing of anybody would be written."""
    mine, other = door.project(), door.project()
    for project, days in ((mine, (6, 7)), (other, (6,))):
        for day in days:
            door.sql(
                """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
                       status, requests)
                   values ($1, 'm', 'e', $2, $3, $2::timestamptz + interval '1 day', 'UTC', 1, 'final', 4)""",
                project,
                datetime(2025, 1, day, tzinfo=UTC),
                date(2025, 1, day),
            )

    def purged(project: str, day: int) -> httpx.Response:
        with door.client() as client:
            bad = {"project_id": project, "model_id": "m", "day": f"2025-01-{day:02}"}
            return client.post("/purge", json=bad)

    assert purged(mine, 6).is_success
    refused = purged(mine, 7)
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (
        429,
        "rate_limited",
        "purges",
    )
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    assert purged(other, 6).is_success
    door.sql(
        "update ml_guard.deletion_receipt set deleted_at = deleted_at - interval '5 s' where project = $1",
        mine,
    )
    assert purged(mine, 7).is_success
