"""How do the traffic aggregates learn of events that came later than their hour was materialised?

A continuous aggregate is real-time above its watermark only: what is added below stays unseen until its range is
refreshed. TimescaleDB's policy looks back a week; whoever closes a day refreshes the day's own range, or, since only
the owner of an aggregate may do that, asks the owner's job for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg

from stream.store.pool import Connection

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_SLICE = timedelta(days=1)
"""What one call refreshes at most: a short transaction each, since a year of them may be waiting, and others too."""

_ASK = """insert into ml_guard.aggregate_refresh (aggregate, begin_at, end_at) values ($1, $2, $3)
          on conflict (aggregate, begin_at, end_at) do update set asked_at = excluded.asked_at"""

_MIDNIGHT = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def whole(instant: datetime, width: timedelta, *, up: bool = False) -> datetime:
    """The last whole hour or day of UTC up to an instant; with `up`, the first from it on.

    >>> instant = datetime.fromisoformat("2025-03-01T05:45:00+05:45")
    >>> whole(instant, DAY).isoformat(), whole(instant + HOUR, DAY, up=True).isoformat()
    ('2025-03-01T00:00:00+00:00', '2025-03-02T00:00:00+00:00')
    """
    past = (instant - _MIDNIGHT) % width
    return (instant - past + (width if up and past else timedelta(0))).astimezone(UTC)


def slices(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """A range in pieces that are refreshed one by one."""
    while begin < end:
        yield begin, min(begin + _SLICE, end)
        begin += _SLICE


async def refresh_traffic(connection: Connection, begin: datetime, end: datetime) -> None:
    """Bring `traffic_hour_utc` and `traffic_day_utc` up to date in [begin, end), outside any transaction.

    Hours and days that are still running are left out: they are added when the aggregates are read, and would stop
    being so once materialised. Can be repeated; what has not changed since costs nothing.
    """
    row = await connection.fetchrow(
        """select n.nspname as schema, now() - interval '1 hour' as until
             from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
            where e.extname = 'timescaledb'"""
    )
    assert row is not None  # the migrations have created it
    for view, width in (("traffic_hour_utc", HOUR), ("traffic_day_utc", DAY)):
        finished = min(whole(end, width, up=True), whole(row["until"], width))
        for start, stop in slices(whole(begin, width), finished):
            try:
                await connection.execute(
                    f"""call "{row["schema"]}".refresh_continuous_aggregate(
                            'ml_guard.{view}', '{start.isoformat()}'::timestamptz, '{stop.isoformat()}'::timestamptz)"""
                )
            except asyncpg.InsufficientPrivilegeError:
                await connection.execute(_ASK, view, start, stop)


async def waiting(connection: Connection) -> tuple[int, float]:
    """How many ranges wait for the owner's job, and for how many seconds the oldest of them does."""
    row = await connection.fetchrow(
        """select count(*) as ranges, coalesce(extract(epoch from now() - min(asked_at)), 0)::float8 as longest_s
             from ml_guard.aggregate_refresh"""
    )
    assert row is not None
    return row["ranges"], row["longest_s"]
