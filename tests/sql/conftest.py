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
from stream.store import state


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
    """Add them as the worker does, many in one statement."""
    for shard in sorted({delta.shard for delta in deltas}):
        rows = [_row(delta) for delta in deltas if delta.shard == shard]
        for begin in range(0, len(rows), 1000):
            await state.add_traffic(connection, shard, rows[begin : begin + 1000])


def _row(delta: Delta) -> state.TrafficRow:
    values = np.asarray(delta.latencies_ms, dtype=np.float64)
    low, counts = LatencyHistogram.of(values).encode()
    return state.TrafficRow(
        delta.project_id,
        delta.model_id,
        delta.endpoint,
        delta.minute,
        len(values) + delta.without_latency,
        len(values),
        float(values.sum()),
        low,
        state.pg_array(counts),
    )


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
        pytest.fail(
            "psql is not installed: apt-get install postgresql-client (docs/sql.md is written for it)"
        )
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
