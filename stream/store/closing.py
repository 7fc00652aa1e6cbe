"""Which project-days are open, what must each wait for, and how does the database learn that one has closed?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from stream.store.pool import Connection

CAPTURE_SHARD = -1
"""Shard of a `day_change` row that no worker wrote: the day is the same, what it is scored against is not."""


BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
"""Before every day: events are of the year 1970 or later."""


class ProjectDayKey(NamedTuple):
    """A day of a project; two days may have the same date (after a change of zone), not the same start."""

    project_id: str
    day_start: datetime


@dataclass(frozen=True, slots=True)
class ProjectDay:
    """A row of `day_close`."""

    key: ProjectDayKey
    day: date
    day_end: datetime
    zone: str
    status: str = "open"
    revision: int = 0
    complete: bool = True
    first_seen_at: datetime | None = None
    last_change_at: datetime | None = None
    reopened_at: datetime | None = None
    barrier: Mapping[int, int] = field(default_factory=dict)
    barrier_at: datetime | None = None
    blocked_partitions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fence:
    """How far a partition has been folded, and whether anybody is at it."""

    next_offset: int
    heartbeat_at: datetime | None = None
    stopped_reason: str | None = None


class Change(NamedTuple):
    """When a project-day was changed for the first and the last time since somebody looked."""

    first_at: datetime
    last_at: datetime


_COLUMNS = """c.project_id, c.day_start, c.day, c.day_end, c.zone, c.status, c.revision, c.complete, c.first_seen_at,
              c.last_change_at, c.reopened_at, c.barrier, c.barrier_at, c.blocked_partitions"""

_KEYS = "unnest($1::text[], $2::timestamptz[]) as k(project_id, day_start)"


def _project_day(row: Any) -> ProjectDay:
    barrier = json.loads(row["barrier"]) if row["barrier"] else {}
    return ProjectDay(
        key=ProjectDayKey(row["project_id"], row["day_start"]),
        day=row["day"],
        day_end=row["day_end"],
        zone=row["zone"],
        status=row["status"],
        revision=row["revision"],
        complete=row["complete"],
        first_seen_at=row["first_seen_at"],
        last_change_at=row["last_change_at"],
        reopened_at=row["reopened_at"],
        barrier={int(partition): offset for partition, offset in barrier.items()},
        barrier_at=row["barrier_at"],
        blocked_partitions=tuple(row["blocked_partitions"]),
    )


def _split(keys: Iterable[ProjectDayKey]) -> tuple[list[str], list[datetime]]:
    listed = list(keys)
    return [key.project_id for key in listed], [key.day_start for key in listed]


async def read_project_days(
    connection: Connection, keys: Iterable[ProjectDayKey], *, lock: bool = False
) -> dict[ProjectDayKey, ProjectDay]:
    """The rows of some project-days; with `lock` nobody else changes them until the transaction ends."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from {_KEYS} join ml_guard.day_close c using (project_id, day_start)
            order by project_id, day_start {"for update of c" if lock else ""}""",  # noqa: S608
        *_split(keys),
    )
    return {day.key: day for day in map(_project_day, rows)}


async def read_days_on(connection: Connection, project_id: str, days: Sequence[date]) -> list[ProjectDay]:
    """The project-days of these dates, in order; around a change of zone a date may have two."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from ml_guard.day_close c
            where c.project_id = $1 and c.day = any($2::date[]) order by c.day_start""",  # noqa: S608
        project_id,
        list(days),
    )
    return [_project_day(row) for row in rows]


async def read_unfinished(
    connection: Connection, ended_before: datetime, after: ProjectDayKey | None, limit: int
) -> list[ProjectDay]:
    """Project-days that have ended and are not closed for good, the oldest first, those behind `after`.

    Changes that no rollup has read yet count into `last_change_at`.
    """
    rows = await connection.fetch(
        f"""select {_COLUMNS}, p.pending_at
            from ml_guard.day_close c
            left join (
                select project_id, day_start, max(changed_at) as pending_at
                from ml_guard.day_change where shard <> {CAPTURE_SHARD} group by project_id, day_start
            ) p using (project_id, day_start)
            where (c.status <> 'closed' or c.reopened_at is not null or not c.complete) and c.day_end <= $1
              and (c.day_start, c.project_id) > ($2, $3)
            order by c.day_start, c.project_id limit $4""",  # noqa: S608
        ended_before,
        BEGINNING if after is None else after.day_start,
        "" if after is None else after.project_id,
        limit,
    )
    return [_with_pending(_project_day(row), row["pending_at"]) for row in rows]


def _with_pending(day: ProjectDay, pending_at: datetime | None) -> ProjectDay:
    if pending_at is None or (day.last_change_at is not None and day.last_change_at >= pending_at):
        return day
    return replace(day, last_change_at=pending_at)


async def read_fences(connection: Connection, topic: str) -> dict[int, Fence]:
    """The fences of a topic's partitions that anybody has ever claimed."""
    rows = await connection.fetch(
        """select "partition", next_offset, heartbeat_at, stopped_reason
           from ml_guard.stream_fence where topic = $1""",
        topic,
    )
    return {
        row["partition"]: Fence(row["next_offset"], row["heartbeat_at"], row["stopped_reason"])
        for row in rows
    }


async def note_barrier(
    connection: Connection, keys: Iterable[ProjectDayKey], barrier: Mapping[int, int], at: datetime
) -> None:
    """The days close when every fence has passed these offsets; changes up to now are within them."""
    await connection.execute(
        f"""update ml_guard.day_close c set status = 'closing', barrier = $3::jsonb, barrier_at = $4, reopened_at = null
            from {_KEYS} where c.project_id = k.project_id and c.day_start = k.day_start""",  # noqa: S608
        *_split(keys),
        json.dumps({str(partition): offset for partition, offset in sorted(barrier.items())}),
        at,
    )


async def note_changes(connection: Connection, changes: Mapping[ProjectDayKey, Change]) -> None:
    """Workers changed these days; those that had closed are open for a restatement."""
    await connection.execute(
        """update ml_guard.day_close c
               set last_change_at = greatest(c.last_change_at, k.last_at),
                   reopened_at = case when c.status = 'closed' then coalesce(c.reopened_at, k.first_at) end
            from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
                 as k(project_id, day_start, first_at, last_at)
            where c.project_id = k.project_id and c.day_start = k.day_start""",
        *_split(changes),
        [change.first_at for change in changes.values()],
        [change.last_at for change in changes.values()],
    )


async def note_closed(connection: Connection, day: ProjectDay, blocked: Sequence[int], at: datetime) -> None:
    """The day has its next revision; `blocked` partitions are not in it."""
    await connection.execute(
        """update ml_guard.day_close
              set status = 'closed', revision = $3, complete = $4, blocked_partitions = $5, closed_at = $6,
                  reopened_at = null
            where project_id = $1 and day_start = $2""",
        day.key.project_id,
        day.key.day_start,
        day.revision + 1,
        not blocked,
        list(blocked),
        at,
    )


async def rewrite_barriers(connection: Connection, partition: int, next_offset: int | None) -> int:
    """Pending days no longer wait for what a partition has lost; how many days that was.

    Part of the command that accepts a loss. `next_offset` is where the partition goes on: no barrier of it is left
    beyond that. None: the partition is gone.
    """
    status = await connection.execute(
        """update ml_guard.day_close
              set barrier = case when $2::bigint is null then barrier - $1::text
                                 else jsonb_set(barrier, array[$1::text], to_jsonb($2::bigint)) end
            where barrier ? $1::text and (status = 'closing' or not complete)
              and ($2::bigint is null or (barrier ->> $1::text)::bigint > $2::bigint)""",
        str(partition),
        next_offset,
    )
    return int(status.rpartition(" ")[2])


async def newest_batch_at(connection: Connection) -> datetime | None:
    """When the broker appended the newest batch that is remembered."""
    newest: datetime | None = await connection.fetchval("select max(appended_at) from ml_guard.seen_batch")
    return newest


async def forget_batches(connection: Connection, appended_before: datetime, limit: int) -> int:
    """Forget at most `limit` of the batches that were appended before; how many those were."""
    status = await connection.execute(
        """delete from ml_guard.seen_batch where ctid = any(array(
               select ctid from ml_guard.seen_batch where appended_at < $1 order by appended_at limit $2))""",
        appended_before,
        limit,
    )
    return int(status.rpartition(" ")[2])
