"""Do the hourly and daily aggregates hold what the minutes hold, materialised or not?"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from stream.store.aggregates import DAY, HOUR, refresh_traffic, whole
from tests.sql.conftest import Delta, add_traffic, minutes, utc

START = utc("2025-03-01T00:00")
FEBRUARY = utc("2025-02-01T00:00")


def days_of_traffic(seed: int, begin: datetime = START, days: int = 3) -> list[Delta]:
    """Every few minutes of some days: two models, four shards, now and then no latency."""
    random = np.random.default_rng(seed)
    deltas = []
    for index, minute in enumerate(minutes(begin, days * 1440)):
        if index % 7 == 0:
            latencies = (
                np.round(random.lognormal(3, 0.8, int(random.integers(0, 5))) * 8) / 8
            )  # sums are exact
            model = ("churn", "fraud")[index % 2]
            deltas.append(Delta(minute, latencies, shard=index % 4, without_latency=1, model_id=model))
    return deltas


async def totals(
    connection: asyncpg.Connection, view: str, column: str
) -> dict[tuple[str, datetime], tuple[int, ...]]:
    rows = await connection.fetch(
        f"""select model_id, {column} as at, requests, latency_n, round(latency_sum_ms * 1000)::bigint as sum,
                   (select coalesce(sum(c), 0) from unnest(latency_counts) c)::bigint as counted
            from ml_guard.{view}"""
    )
    return {(r["model_id"], r["at"]): (r["requests"], r["latency_n"], r["sum"], r["counted"]) for r in rows}


def expected(deltas: list[Delta], width: timedelta) -> dict[tuple[str, datetime], tuple[int, ...]]:
    requests: Counter[tuple[str, datetime]] = Counter()
    count: Counter[tuple[str, datetime]] = Counter()
    total: dict[tuple[str, datetime], float] = {}
    for delta in deltas:
        key = (delta.model_id, whole(delta.minute, width))
        requests[key] += len(delta.latencies_ms) + delta.without_latency
        count[key] += len(delta.latencies_ms)
        total[key] = total.get(key, 0.0) + float(np.sum(delta.latencies_ms))
    return {key: (requests[key], count[key], round(total[key] * 1000), count[key]) for key in requests}


async def assert_equal_to_minutes(connection: asyncpg.Connection, deltas: list[Delta]) -> None:
    assert await totals(connection, "traffic_hour_utc", "hour") == expected(deltas, HOUR)
    assert await totals(connection, "traffic_day_utc", "day_start") == expected(deltas, DAY)


async def test_both_aggregates_show_what_was_never_materialised(connection: asyncpg.Connection) -> None:
    deltas = days_of_traffic(1)
    await add_traffic(connection, deltas)
    await assert_equal_to_minutes(connection, deltas)


async def test_both_aggregates_equal_the_minutes_partly_and_wholly_materialised(
    connection: asyncpg.Connection,
) -> None:
    deltas = days_of_traffic(2)
    await add_traffic(connection, deltas)
    await refresh_traffic(connection, START, START + timedelta(days=1, hours=5))
    await assert_equal_to_minutes(connection, deltas)
    await refresh_traffic(connection, START, START + timedelta(days=3))
    await assert_equal_to_minutes(connection, deltas)


async def test_a_day_refreshed_before_its_hours_is_right_after_both(connection: asyncpg.Connection) -> None:
    deltas = days_of_traffic(3)
    await add_traffic(connection, deltas)
    for view in ("traffic_day_utc", "traffic_hour_utc", "traffic_day_utc"):
        await connection.execute(
            f"call refresh_continuous_aggregate('ml_guard.{view}', '2025-03-01', '2025-03-03')"
        )
        await assert_equal_to_minutes(connection, deltas)


async def test_events_below_the_watermark_are_seen_once_their_range_is_refreshed(
    connection: asyncpg.Connection,
) -> None:
    deltas = days_of_traffic(4)
    await add_traffic(connection, deltas)
    await refresh_traffic(connection, START, START + timedelta(days=3))
    late = [Delta(START + timedelta(hours=30, minutes=n), [5.0, 50.0], shard=n % 4) for n in range(90)]
    backfill = days_of_traffic(5, FEBRUARY, days=1)
    await add_traffic(connection, late)
    await add_traffic(connection, backfill)
    await refresh_traffic(connection, late[0].minute, late[-1].minute)
    await refresh_traffic(connection, FEBRUARY, FEBRUARY + DAY)
    await assert_equal_to_minutes(connection, deltas + late + backfill)


async def test_a_refresh_leaves_running_hours_and_days_to_be_added_when_read(
    connection: asyncpg.Connection,
) -> None:
    now = await connection.fetchval("select date_trunc('minute', now())")
    first = [Delta(now - timedelta(minutes=n), [10.0]) for n in range(3 * 1440)[::30]]
    await add_traffic(connection, first)
    await refresh_traffic(connection, now - timedelta(days=3), now + timedelta(days=2))
    second = [Delta(now - timedelta(minutes=1), [20.0, 30.0]), Delta(now + timedelta(minutes=1), [40.0])]
    await add_traffic(connection, second)
    await assert_equal_to_minutes(connection, first + second)


async def test_the_policies_jobs_refresh_the_last_days(connection: asyncpg.Connection) -> None:
    now = await connection.fetchval("select date_trunc('minute', now())")
    deltas = [Delta(now - timedelta(minutes=n), [10.0, 20.0]) for n in range(4 * 1440)[::60]]
    await add_traffic(connection, deltas)
    for (job,) in await connection.fetch(
        "select job_id from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate' order by 1"
    ):
        await connection.execute(f"call run_job({job})")
    materialised = await connection.fetchval(
        """select count(*) from timescaledb_information.chunks
           where hypertable_name in (
               select materialization_hypertable_name from timescaledb_information.continuous_aggregates)"""
    )
    assert materialised > 0
    await assert_equal_to_minutes(connection, deltas)
