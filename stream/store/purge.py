"""How does a bad day of a model leave, so that both ledgers still balance and no worker's memory brings it back?

Everything happens in one transaction. Fences and leases change their epoch, as when a project is deleted: what was read
or calculated before is not written after. The day's merged events move to the ledger's `deleted`, shard by shard, so
a corrected backfill counts like any other late events and the day gets its next revision.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from stream.store.deletion import count_of, fence_off
from stream.store.pool import Connection

TABLES = ("day_sketch", "bin_count", "day_change", "metric_day", "feature_day", "feature_hour")
"""What is kept by model and local day; `traffic_minute` beside them has minutes."""

_REACH = timedelta(days=2)
"""How far from its date's midnight in UTC a local day may begin, with room: other chunks need not be looked at."""

_DAYS = """
select distinct endpoint, day_start, day_end from (
    select endpoint, day, day_start, day_end from ml_guard.day_sketch
     where project_id = $1 and model_id = $2 and feature = '@events' and day_start between $5 and $6
    union all
    select endpoint, day, day_start, day_end from ml_guard.metric_day
     where project_id = $1 and model_id = $2 and day_start between $5 and $6) as known
where day = $4 and ($3::text is null or endpoint = $3)
order by endpoint, day_start"""

_LEDGER = """
insert into ml_guard.ledger_day as l (project_id, day_start, shard, day, deleted)
select project_id, day_start, shard, max(day), sum(n)::bigint from ml_guard.day_sketch
 where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4 and feature = '@events'
 group by project_id, day_start, shard
on conflict (project_id, day_start, shard) do update set deleted = l.deleted + excluded.deleted"""

_SINCE_LAST = """
select extract(epoch from clock_timestamp() - max(deleted_at))::double precision from ml_guard.deletion_receipt
 where project = $1 and day is not null"""


@dataclass(frozen=True, slots=True)
class PurgeReceipt:
    """What was removed; `kafka` is each topic with the time until which it may hold the events, None: for good."""

    receipt_id: str
    purged_at: datetime
    events: int
    rows: Mapping[str, int]
    kafka: Mapping[str, datetime | None]
    baselines: list[tuple[str, int]]
    """Endpoint and version of baselines that the day is in; they stay as they were captured."""
    spans: list[tuple[datetime, datetime]]
    """From when until when: the traffic aggregates are to be refreshed there."""


class JustPurgedError(Exception):
    """The project has had a day purged a moment ago: every purge has all workers read again what they had not written."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"{wait_s:g} s too early")
        self.wait_s = wait_s


async def purge_day(
    connection: Connection,
    project_id: str,
    model_id: str,
    endpoint: str | None,
    day: date,
    *,
    forget_batches: bool,
    purged_by: str,
    kafka: Mapping[str, datetime | None],
    apart_s: float = 0.0,
) -> PurgeReceipt | None:
    """Remove a local day of a model, or of one of its endpoints; None if nothing is known of it.

    Parameters
    ----------
    forget_batches : bool
        Whether the project's batches and event ids of the last 7 days are forgotten, so that they may be sent again.
    apart_s : float
        How long after one purge of the project the next may be.

    Raises
    ------
    JustPurgedError
    """
    midnight = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    wanted = (project_id, model_id, endpoint, day, midnight - _REACH, midnight + _REACH)
    if not await connection.fetch(_DAYS, *wanted):
        return None
    since = await connection.fetchval(_SINCE_LAST, project_id)
    if since is not None and since < apart_s:
        raise JustPurgedError(apart_s - since)
    async with connection.transaction():
        # It may lie in compressed chunks; TimescaleDB's own limit would refuse to touch so many rows.
        await connection.execute("set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        await fence_off(connection)
        days = [tuple(row) for row in await connection.fetch(_DAYS, *wanted)]
        events, rows = 0, dict.fromkeys((*TABLES, "traffic_minute"), 0)
        for name, start, end in days:
            key = (project_id, model_id, name, start)
            events += await _account(connection, key)
            for table in TABLES:
                rows[table] += await _remove(connection, table, key)
            rows["traffic_minute"] += count_of(
                await connection.execute(
                    """delete from ml_guard.traffic_minute where project_id = $1 and model_id = $2 and endpoint = $3
                           and minute >= date_trunc('minute', $4::timestamptz) and minute < $5""",
                    *key,
                    end,
                )
            )
        if forget_batches:
            rows["seen_batch"] = count_of(
                await connection.execute("delete from ml_guard.seen_batch where project_id = $1", project_id)
            )
        made = await connection.fetchrow(
            """insert into ml_guard.deletion_receipt
                   (receipt_id, project, model, endpoint, day, events, deleted_by, rows, topics)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning receipt_id, deleted_at""",
            "del_" + secrets.token_hex(8),
            project_id,
            model_id,
            endpoint,
            day,
            events,
            purged_by,
            json.dumps(rows),
            json.dumps({name: until and until.isoformat() for name, until in kafka.items()}),
        )
        held = await connection.fetch(
            """select endpoint, version from ml_guard.baseline
               where project_id = $1 and model_id = $2 and ($3::text is null or endpoint = $3) and $4 = any(days)
               order by endpoint, version""",
            *wanted[:4],
        )
    assert made is not None
    return PurgeReceipt(
        made["receipt_id"],
        made["deleted_at"],
        events,
        rows,
        kafka,
        [(row["endpoint"], row["version"]) for row in held],
        sorted({(start, end) for _, start, end in days}),
    )


async def _account(connection: Connection, key: tuple[str, str, str, datetime]) -> int:
    """Move the model-day's merged events to `deleted`; how many they are."""
    await connection.execute(_LEDGER, *key)
    events: int = await connection.fetchval(
        """select coalesce(sum(n), 0)::bigint from ml_guard.day_sketch
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4 and feature = '@events'""",
        *key,
    )
    return events


async def _remove(connection: Connection, table: str, key: tuple[str, str, str, datetime]) -> int:
    return count_of(
        await connection.execute(
            f"""delete from ml_guard.{table}
                where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4""",  # noqa: S608
            *key,
        )
    )
