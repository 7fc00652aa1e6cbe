"""Do late events reach chunks that have been compressed, and does nothing young get compressed or dropped?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from stream.migrate import apply_policies
from stream.store import pool, state
from tests.sql.conftest import Delta, add_traffic, minutes, utc

OLD = utc("2025-03-01T00:00")
FEATURES = ["age", "balance", "country", "@latency_ms"]


def sketch_row(feature: str, day: date, n: int, sketch: bytes) -> state.SketchRow:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return state.SketchRow(
        "shop", "churn", "predict", feature, "numeric", start, day, start + timedelta(days=1), "UTC",
        n, 0, 0.0, 1.0, 0.5, 0.1, sketch, None, None, None,
    )  # fmt: skip


def bin_row(feature: str, day: date, counts: list[int]) -> state.BinRow:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return state.BinRow(
        "shop", "churn", "predict", feature, "numeric", 1, start, sum(counts), state.pg_array(counts)
    )


async def write_state(connection: asyncpg.Connection, days: list[date]) -> None:
    for shard in range(4):
        await state.upsert_sketches(
            connection, shard, [sketch_row(f, day, 10, bytes(range(200))) for day in days for f in FEATURES]
        )
        await state.upsert_bins(
            connection, shard, [bin_row(f, day, [1, 2, 3]) for day in days for f in FEATURES]
        )
    start = datetime(days[0].year, days[0].month, days[0].day, tzinfo=UTC)
    await add_traffic(
        connection,
        [
            Delta(minute, [10.0, 20.0], shard=shard)
            for minute in minutes(start, 1440)[::10]
            for shard in range(4)
        ],
    )


async def compress(connection: asyncpg.Connection, table: str) -> int:
    rows = await connection.fetch(f"select compress_chunk(c, true) from show_chunks('ml_guard.{table}') c")
    assert rows
    return len(rows)


async def compressed(connection: asyncpg.Connection, table: str) -> list[bool]:
    rows = await connection.fetch(
        """select is_compressed from timescaledb_information.chunks
           where hypertable_schema = 'ml_guard' and hypertable_name = $1 order by range_start""",
        table,
    )
    return [row[0] for row in rows]


async def test_late_state_replaces_rows_of_compressed_chunks(connection: asyncpg.Connection) -> None:
    days = [OLD.date() + timedelta(days=n) for n in range(10)]
    await write_state(connection, days)
    for table in ("day_sketch", "bin_count"):
        assert await compress(connection, table) == 2
    changed = state.ModelDayKey("shop", "churn", "predict", OLD + timedelta(days=3))
    await state.upsert_sketches(
        connection,
        2,
        [sketch_row("age", days[3], 11, b"new"), sketch_row("@y_pred", days[3], 1, b"first"),
         sketch_row("age", date(2025, 2, 1), 1, b"new chunk")],
    )  # fmt: skip
    await state.upsert_bins(connection, 2, [bin_row("age", days[3], [4, 5, 6])])
    for _ in range(2):  # as the upsert left it, and compressed anew
        rows = (await state.load_sketches(connection, 2, [changed]))[changed]
        assert {row.feature: (row.n, row.sketch) for row in rows} == {
            "age": (11, b"new"),
            "@y_pred": (1, b"first"),
            **{feature: (10, bytes(range(200))) for feature in FEATURES if feature != "age"},
        }
        bins = (await state.load_bins(connection, 2, [changed]))[changed]
        assert {row.feature: row.counts for row in bins} == {
            f: [1, 2, 3] if f != "age" else [4, 5, 6] for f in FEATURES
        }
        assert await connection.fetchval("select count(*) from ml_guard.day_sketch") == 4 * 4 * 10 + 2
        assert await connection.fetchval("select sum(n) from ml_guard.day_sketch") == 10 * 4 * 4 * 10 + 3
        await compress(connection, "day_sketch")
        await compress(connection, "bin_count")


async def test_late_traffic_is_added_to_compressed_minutes(connection: asyncpg.Connection) -> None:
    await write_state(connection, [OLD.date()])
    await compress(connection, "traffic_minute")
    late = [Delta(minute, [10.0, 500.0], shard=1, without_latency=1) for minute in minutes(OLD, 60)]
    await add_traffic(connection, late)
    row = await connection.fetchrow(
        "select * from ml_guard.traffic_between('shop', 'churn', 'predict', $1, $2)",
        OLD,
        OLD + timedelta(hours=1),
    )
    assert (row["requests"], row["latency_n"]) == (6 * 4 * 2 + 60 * 3, 6 * 4 * 2 + 60 * 2)
    assert sum(row["latency_counts"]) == row["latency_n"]
    assert row["latency_sum_ms"] == 6 * 4 * 30 + 60 * 510


async def test_late_traffic_beyond_the_decompression_limit_is_added_by_workers(database_url: str) -> None:
    plain = await asyncpg.connect(database_url)
    workers = await pool.connect(database_url, size=1)
    try:
        await write_state(plain, [OLD.date()])
        await compress(plain, "traffic_minute")
        late = [Delta(minute, [10.0], shard=1) for minute in minutes(OLD, 1440)[::10]]
        await plain.execute("set timescaledb.max_tuples_decompressed_per_dml_transaction = 50")
        with pytest.raises(asyncpg.ConfigurationLimitExceededError):
            await add_traffic(plain, late)
        async with workers.acquire() as worker:
            await add_traffic(worker, late)
        assert await plain.fetchval("select sum(requests) from ml_guard.traffic_minute") == 144 * (4 * 2 + 1)
    finally:
        await workers.close()
        await plain.close()


async def run_jobs(connection: asyncpg.Connection, kind: str) -> None:
    for (job,) in await connection.fetch(
        "select job_id from timescaledb_information.jobs where proc_name = $1 and hypertable_schema is not null",
        kind,
    ):
        await connection.execute(f"call run_job({job})")


async def test_state_of_the_last_two_weeks_stays_as_it_is_written(connection: asyncpg.Connection) -> None:
    today = datetime.now(UTC).date()
    await write_state(connection, [today - timedelta(days=n) for n in range(45)][::-1])
    await run_jobs(connection, "policy_compression")
    days = await connection.fetch(
        "select range_end, is_compressed from timescaledb_information.chunks where hypertable_name = 'day_sketch'"
    )
    horizon = datetime.now(UTC) - timedelta(days=14)
    assert {row["is_compressed"] for row in days if row["range_end"] > horizon} == {False}
    assert {row["is_compressed"] for row in days if row["range_end"] <= horizon} == {True}
    assert await compressed(connection, "traffic_minute") == [True]


async def test_retention_drops_what_no_event_may_reach_any_more(
    connection: asyncpg.Connection, database_url: str
) -> None:
    today = datetime.now(UTC).date()
    await write_state(connection, [today - timedelta(days=n) for n in (120, 62, 60, 59, 1)])
    await run_jobs(connection, "policy_retention")
    assert await connection.fetchval("select count(distinct day) from ml_guard.day_sketch") == 5
    await apply_policies(database_url, retention_days=60)
    await run_jobs(connection, "policy_retention")
    kept = {row["day"] for row in await connection.fetch("select distinct day from ml_guard.day_sketch")}
    assert kept >= {today - timedelta(days=n) for n in (60, 59, 1)}
    assert today - timedelta(days=120) not in kept
    assert await connection.fetchval("select count(*) from ml_guard.traffic_minute") == 0
