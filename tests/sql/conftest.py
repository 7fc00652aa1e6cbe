"""What do the tests of SQL share? A connection, a project's traffic, psql."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest

from stream.histogram import LatencyHistogram

ADD_TRAFFIC = """
    insert into ml_guard.traffic_minute as t (
        project_id, model_id, endpoint, minute, shard, requests, latency_n, latency_sum_ms, latency_low, latency_counts)
    select d.project_id, d.model_id, d.endpoint, d.minute, d.shard, d.requests, d.latency_n, d.latency_sum_ms,
           case when d.latency_n > 0 then d.latency_low end,
           case when d.latency_n > 0 then d.latency_counts::integer[] end
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::integer[], $6::bigint[], $7::bigint[],
                $8::double precision[], $9::smallint[], $10::text[])
         as d(project_id, model_id, endpoint, minute, shard, requests, latency_n, latency_sum_ms, latency_low, latency_counts)
    on conflict (project_id, model_id, endpoint, minute, shard) do update set
        requests = t.requests + excluded.requests,
        latency_n = t.latency_n + excluded.latency_n,
        latency_sum_ms = t.latency_sum_ms + excluded.latency_sum_ms,
        latency_low = least(t.latency_low, excluded.latency_low),
        latency_counts = ml_guard.histogram_add(
            t.latency_low, t.latency_counts, excluded.latency_low, excluded.latency_counts)"""


@dataclass(frozen=True)
class Delta:
    """What one checkpoint adds to one minute of one shard."""

    minute: datetime
    latencies_ms: Sequence[float]
    shard: int = 0
    without_latency: int = 0
    project_id: str = "shop"
    model_id: str = "churn"
    endpoint: str = "predict"


async def add_traffic(connection: asyncpg.Connection, deltas: Sequence[Delta]) -> None:
    rows = []
    for delta in deltas:
        values = np.asarray(delta.latencies_ms, dtype=np.float64)
        low, counts = LatencyHistogram.of(values).encode()
        rows.append(
            (
                delta.project_id,
                delta.model_id,
                delta.endpoint,
                delta.minute,
                delta.shard,
                len(values) + delta.without_latency,
                len(values),
                float(values.sum()),
                low,
                "{" + ",".join(map(str, counts)) + "}",
            )
        )
    for begin in range(0, len(rows), 1000):
        await connection.execute(ADD_TRAFFIC, *map(list, zip(*rows[begin : begin + 1000], strict=True)))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(begin: datetime, count: int) -> list[datetime]:
    return [begin + timedelta(minutes=n) for n in range(count)]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


def psql(database_url: str, script: str) -> str:
    """What psql prints for a script, unaligned; fails where psql is missing or says ERROR."""
    program = shutil.which("psql")
    if program is None:
        pytest.fail("psql is not installed: apt-get install postgresql-client (docs/sql.md is written for it)")
    done = subprocess.run(
        [program, database_url, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "--csv"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
