"""Are latency percentiles right within two per cent of the raw values, over any range?"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import pytest

from stream.histogram import HIGHEST, LOWEST, RELATIVE_ERROR, LatencyHistogram, bucket_value
from stream.store.aggregates import refresh_traffic
from tests.sql.conftest import Delta, add_traffic, minutes, utc

START = utc("2025-03-01T00:00")
PS = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]


def assert_within_bound(answer: list[float | None], values: list[float], ps: list[float] = PS) -> None:
    exact = np.quantile(values, ps, method="inverted_cdf")
    assert answer == pytest.approx(exact, rel=RELATIVE_ERROR * (1 + 1e-9))


async def test_a_bucket_stands_for_the_same_latency_in_sql_and_in_python(
    connection: asyncpg.Connection,
) -> None:
    rows = await connection.fetch(
        "select ml_guard.latency_bucket_value(i) from generate_series($1::integer, $2::integer) i",
        LOWEST,
        HIGHEST,
    )
    np.testing.assert_allclose(
        [row[0] for row in rows], bucket_value(np.arange(LOWEST, HIGHEST + 1)), rtol=1e-12
    )


async def test_histograms_of_any_two_ranges_of_buckets_add_up(connection: asyncpg.Connection) -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        low_a, low_b = (int(low) for low in random.integers(LOWEST, HIGHEST - 20, 2))
        a, b = (random.integers(0, 4, int(size)).tolist() for size in random.integers(1, 20, 2))
        python = LatencyHistogram(low_a, a)
        python.merge(LatencyHistogram(low_b, b))
        added, aggregated = await connection.fetchrow(
            """select ml_guard.histogram_add($1, $2, $3, $4),
                      (select ml_guard.histogram_sum(low, counts)
                       from (values ($1::smallint, $2::integer[]), (null, null), ($3, $4)) h(low, counts))""",
            low_a,
            a,
            low_b,
            b,
        )
        assert added == aggregated == python.counts.tolist()
        assert python.lowest == min(low_a, low_b)


async def test_a_histogram_of_nothing_adds_nothing(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(
        """select ml_guard.histogram_add(null, null, 3::smallint, '{1,2}'),
                  ml_guard.histogram_add(3::smallint, '{1,2}', null, null), ml_guard.histogram_add(null, null, null, null),
                  (select ml_guard.histogram_sum(low, counts)
                   from (values (null::smallint, null::integer[])) h(low, counts)),
                  ml_guard.histogram_percentile(null, null, 0.5), ml_guard.histogram_percentile(0::smallint, '{}', 0.5)"""
    )
    assert list(row) == [[1, 2], [1, 2], None, None, None, None]


async def test_the_states_of_parallel_workers_combine(connection: asyncpg.Connection) -> None:
    combined = await connection.fetchval(
        """select ml_guard.histogram_counts(ml_guard.histogram_combine(
               ml_guard.histogram_accumulate(null::bigint[], 5::smallint, '{1,2}'::integer[]),
               ml_guard.histogram_accumulate(null::bigint[], 3::smallint, '{1,1,1,1}'::integer[])))"""
    )
    assert combined == [1, 1, 2, 3]  # buckets 3 to 6
    assert await connection.fetchval("select ml_guard.histogram_combine('{5,1}', null)") == [5, 1]
    assert await connection.fetchval("select ml_guard.histogram_combine(null, '{5,1}')") == [5, 1]


async def test_percentiles_of_arbitrary_ranges_are_within_two_per_cent_of_numpy(
    connection: asyncpg.Connection,
) -> None:
    random = np.random.default_rng(11)
    deltas = []
    for index, minute in enumerate(minutes(START, 5 * 1440)):
        if index % 3 == 0:
            scale = 2.0 if index % 500 == 0 else 0.7
            latencies = random.lognormal(3.5, scale, int(random.integers(1, 6)))
            deltas.append(
                Delta(
                    minute,
                    latencies,
                    shard=index % 4,
                    endpoint=("predict", "rank")[index % 2],
                    without_latency=index % 2,
                )
            )
    await add_traffic(connection, deltas)
    end = START + timedelta(days=5)

    async def check(endpoint: str | None, begin: datetime, stop: datetime) -> None:
        values = [
            latency
            for delta in deltas
            if begin <= delta.minute < stop and endpoint in (None, delta.endpoint)
            for latency in delta.latencies_ms
        ]
        rows = await connection.fetch(
            "select p, latency_ms from ml_guard.latency_percentiles('shop', 'churn', $1, $2, $3, $4)",
            endpoint,
            begin,
            stop,
            PS,
        )
        assert [row["p"] for row in rows] == PS
        if values:
            assert_within_bound([row["latency_ms"] for row in rows], values)
        else:
            assert [row["latency_ms"] for row in rows] == [None] * len(PS)
        traffic = await connection.fetchrow(
            "select requests, latency_n, latency_sum_ms from ml_guard.traffic_between('shop', 'churn', $1, $2, $3)",
            endpoint,
            begin,
            stop,
        )
        requests = sum(
            len(d.latencies_ms) + d.without_latency
            for d in deltas
            if begin <= d.minute < stop and endpoint in (None, d.endpoint)
        )
        assert (traffic["requests"], traffic["latency_n"]) == (requests, len(values))
        assert traffic["latency_sum_ms"] == pytest.approx(math.fsum(values), rel=1e-9)

    async def check_many(trials: int) -> None:
        await check(None, START, end)
        await check("rank", START - timedelta(days=9), end + timedelta(days=9))
        await check("rank", START + timedelta(days=1), START + timedelta(days=2))
        await check(None, START + timedelta(hours=1), START + timedelta(hours=2))
        await check(None, START + timedelta(minutes=3), START + timedelta(minutes=3))
        await check(None, end, START)
        for _ in range(trials):
            a, b = sorted(int(second) for second in random.integers(-3600, 5 * 86_400 + 3600, 2))
            await check(
                [None, "predict", "rank", "other"][int(random.integers(4))],
                START + timedelta(seconds=a),
                START + timedelta(seconds=b),
            )
        for _ in range(trials):
            a = int(random.integers(0, 5 * 1440))
            length = int(random.integers(1, 180))
            await check(None, START + timedelta(minutes=a), START + timedelta(minutes=a + length))

    await check_many(15)
    await refresh_traffic(connection, START, START + timedelta(days=2, hours=7))
    await check_many(15)


async def test_one_percentile_and_percentiles_agree(connection: asyncpg.Connection) -> None:
    await add_traffic(connection, [Delta(START, [10.0, 20.0, 30.0])])
    one = "select ml_guard.latency_percentile('shop', 'churn', 'predict', $1, $2, 0.5)"
    assert await connection.fetchval(one, START, START + timedelta(hours=1)) == pytest.approx(
        20, rel=RELATIVE_ERROR
    )
    assert await connection.fetchval(one, START + timedelta(hours=1), START + timedelta(hours=2)) is None


async def test_zero_and_enormous_latencies_are_counted_at_the_ends(connection: asyncpg.Connection) -> None:
    await add_traffic(connection, [Delta(START, [0.0, 1e-9, 1e12])])
    answer = await connection.fetchval(
        """select ml_guard.histogram_percentiles(latency_low, latency_counts, '{0.5,1}')
           from ml_guard.traffic_between('shop', 'churn', null, $1, $2)""",
        START,
        START + timedelta(hours=1),
    )
    assert answer == [0.0, pytest.approx(float(bucket_value(HIGHEST)))]


async def test_a_share_that_is_none_is_refused(connection: asyncpg.Connection) -> None:
    for share in ("1.01", "-0.1", "95", "null"):
        with pytest.raises(asyncpg.NumericValueOutOfRangeError, match="a share from 0 to 1"):
            await connection.fetchval(f"select ml_guard.histogram_percentile(0::smallint, '{{1}}', {share})")


@pytest.mark.parametrize(
    ("step", "begin", "end"),
    [
        (timedelta(days=1), START, START + timedelta(days=2)),
        (timedelta(hours=5), START, START + timedelta(days=2)),
        (timedelta(hours=1), START + timedelta(minutes=30), START + timedelta(hours=7)),
        (timedelta(minutes=7), START + timedelta(minutes=13), START + timedelta(hours=3, minutes=1)),
    ],
)
async def test_a_chart_of_steps_equals_numpy_step_by_step(
    connection: asyncpg.Connection, step: timedelta, begin: datetime, end: datetime
) -> None:
    random = np.random.default_rng(13)
    deltas = [Delta(minute, random.lognormal(3, 1, 2)) for minute in minutes(START, 2 * 1440)[::5]]
    await add_traffic(connection, deltas)
    rows = await connection.fetch(
        "select * from ml_guard.latency_series('shop', 'churn', null, $1, $2, $3, $4)", begin, end, step, PS
    )
    at = {row["step_start"]: row for row in rows}
    while begin < end:
        stop = min(begin + step, end)
        values = [v for d in deltas if begin <= d.minute < stop for v in d.latencies_ms]
        row = at.pop(begin, None)
        if values:
            assert row is not None
            assert (row["step_end"], row["requests"], row["latency_n"]) == (stop, len(values), len(values))
            assert row["latency_mean_ms"] == pytest.approx(np.mean(values), rel=1e-9)
            assert_within_bound(row["latency_ms"], values)
        begin += step
    assert at == {}


async def test_a_step_that_is_no_whole_minute_is_refused(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="whole number of minutes"):
        await connection.fetch(
            "select * from ml_guard.latency_series('p', 'm', null, now() - interval '1 day', now(), '90 seconds', '{0.5}')"
        )
