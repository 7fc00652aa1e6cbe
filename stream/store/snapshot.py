"""What do the state rows of a model-day say, all of them at one instant?

The functions that read a model-day's rows belong inside one `repeatable` transaction: a day's sketches, counters and
the changes that they hold must be of one instant. Rows are read for one model-day at a time, because a hypertable
finds the right chunk by a parameter, not by a join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from asyncpg.transaction import Transaction

from stream.store.closing import BEGINNING, CAPTURE_SHARD, Change, ProjectDay, ProjectDayKey
from stream.store.pool import Connection

EVENTS = "@events"
"""The feature name of the row that counts a model-day's events."""


class ModelDayKey(NamedTuple):
    """One model's endpoint on one day; in the order of `day_change`'s primary key."""

    project_id: str
    model_id: str
    endpoint: str
    day_start: datetime

    @property
    def project_day(self) -> ProjectDayKey:
        """The day of the project that it is part of."""
        return ProjectDayKey(self.project_id, self.day_start)


BEFORE_ALL = ModelDayKey("", "", "", BEGINNING)


class PendingChange(NamedTuple):
    """A row of `day_change`: this shard's state is as of `next_offset`."""

    shard: int
    next_offset: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class PendingModelDay:
    """A model-day that was changed since its last rollup."""

    key: ModelDayKey
    changes: tuple[PendingChange, ...]

    @property
    def by_workers(self) -> Change | None:
        """When workers changed it; nothing if only a capture asked for a new rollup."""
        times = [change.changed_at for change in self.changes if change.shard != CAPTURE_SHARD]
        return Change(min(times), max(times)) if times else None


class ShardEvents(NamedTuple):
    """One shard's events of a model-day."""

    shard: int
    n: int
    baseline_version: int | None
    first_event_at: datetime | None
    last_event_at: datetime | None


class ShardSketch(NamedTuple):
    """One shard's values of a feature."""

    feature: str
    kind: str
    shard: int
    n: int
    sketch: bytes


class ShardCounts(NamedTuple):
    """One shard's values of a feature, counted against a baseline version's bins."""

    feature: str
    kind: str
    shard: int
    n: int
    counts: list[int]


class PreviousResult(NamedTuple):
    """What a model-day's result row said before."""

    revision: int
    baseline_version: int | None


@dataclass(frozen=True, slots=True)
class ModelDayState:
    """All state rows of a model-day."""

    key: ModelDayKey
    project_day: ProjectDay
    events: tuple[ShardEvents, ...]
    sketches: tuple[ShardSketch, ...]

    @property
    def nbytes(self) -> int:
        """How much of it travelled from the database, about."""
        return sum(len(row.sketch) + 100 for row in self.sketches)

    @property
    def pinned_version(self) -> int | None:
        """The baseline version that the day is scored against: the lowest that a shard began it with."""
        return min(
            (row.baseline_version for row in self.events if row.baseline_version is not None), default=None
        )


def repeatable(connection: Connection) -> Transaction:
    """A transaction that sees the database as of one instant and writes nothing."""
    return connection.transaction(isolation="repeatable_read", readonly=True)


async def is_any_pending(connection: Connection) -> bool:
    """Whether there is a change that no rollup has read; asked often, so it is one short statement."""
    return bool(await connection.fetchval("select exists (select from ml_guard.day_change)"))


async def read_pending(connection: Connection, after: ModelDayKey, limit: int) -> list[PendingModelDay]:
    """Changed model-days behind `after` in the order of their keys, so that repeated reading goes round them all."""
    rows = await connection.fetch(
        """select project_id, model_id, endpoint, day_start, array_agg(shard) as shards,
                  array_agg(next_offset) as offsets, array_agg(changed_at) as times
           from ml_guard.day_change
           where (project_id, model_id, endpoint, day_start) > ($1, $2, $3, $4)
           group by project_id, model_id, endpoint, day_start
           order by project_id, model_id, endpoint, day_start limit $5""",
        *after,
        limit,
    )
    return [
        PendingModelDay(
            ModelDayKey(row["project_id"], row["model_id"], row["endpoint"], row["day_start"]),
            tuple(map(PendingChange, row["shards"], row["offsets"], row["times"])),
        )
        for row in rows
    ]


async def read_pending_of(connection: Connection, key: ModelDayKey) -> PendingModelDay:
    """The changes of one model-day that no rollup has read."""
    rows = await connection.fetch(
        """select shard, next_offset, changed_at from ml_guard.day_change
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4""",
        *key,
    )
    return PendingModelDay(key, tuple(PendingChange(*row) for row in rows))


async def forget_pending(connection: Connection, read: Sequence[PendingModelDay]) -> list[PendingModelDay]:
    """The changes that were read are in the results; those that came since stay.

    Returns what was still there: the rest had been read by somebody else. A row that a checkpoint holds right now is
    about to change, so it is left alone rather than waited for.
    """
    rows = [
        (*pending.key, change.shard, change.next_offset) for pending in read for change in pending.changes
    ]
    if not rows:
        return []
    deleted = await connection.fetch(
        """with there as (
               select d.project_id, d.model_id, d.endpoint, d.day_start, d.shard
               from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::bigint[])
                    as k(project_id, model_id, endpoint, day_start, shard, next_offset)
               join ml_guard.day_change d using (project_id, model_id, endpoint, day_start, shard, next_offset)
               for update of d skip locked
           )
           delete from ml_guard.day_change d using there
           where d.project_id = there.project_id and d.model_id = there.model_id
             and d.endpoint = there.endpoint and d.day_start = there.day_start and d.shard = there.shard
           returning d.project_id, d.model_id, d.endpoint, d.day_start, d.shard, d.next_offset, d.changed_at""",
        *map(list, zip(*rows, strict=True)),
    )
    there: dict[ModelDayKey, list[PendingChange]] = {}
    for row in deleted:
        there.setdefault(ModelDayKey(*row[:4]), []).append(PendingChange(*row[4:]))
    return [PendingModelDay(key, tuple(changes)) for key, changes in there.items()]


async def read_model_days_of(connection: Connection, day: ProjectDayKey) -> list[ModelDayKey]:
    """The models and endpoints that had events on a day of a project."""
    rows = await connection.fetch(
        """select distinct model_id, endpoint from ml_guard.day_sketch
           where project_id = $1 and day_start = $2 and feature = '@events' and kind = 'events'
           order by model_id, endpoint""",
        *day,
    )
    return [ModelDayKey(day.project_id, row["model_id"], row["endpoint"], day.day_start) for row in rows]


async def read_state(connection: Connection, key: ModelDayKey, project_day: ProjectDay) -> ModelDayState:
    """The sketches of a model-day, all shards."""
    rows = await connection.fetch(
        """select feature, kind, shard, n, sketch, baseline_version, first_event_at, last_event_at
           from ml_guard.day_sketch
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4
           order by feature, kind, shard""",
        *key,
    )
    events = tuple(
        ShardEvents(
            row["shard"], row["n"], row["baseline_version"], row["first_event_at"], row["last_event_at"]
        )
        for row in rows
        if row["kind"] == "events"
    )
    sketches = tuple(
        ShardSketch(row["feature"], row["kind"], row["shard"], row["n"], row["sketch"])
        for row in rows
        if row["kind"] != "events" and row["sketch"] is not None
    )
    return ModelDayState(key, project_day, events, sketches)


async def read_counts(connection: Connection, key: ModelDayKey, version: int) -> tuple[ShardCounts, ...]:
    """The counters of a model-day against one baseline version, all shards."""
    rows = await connection.fetch(
        """select feature, kind, shard, n, counts from ml_guard.bin_count
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4
             and baseline_version = $5
           order by feature, kind, shard""",
        *key,
        version,
    )
    return tuple(ShardCounts(*row) for row in rows)


async def read_previous(connection: Connection, key: ModelDayKey) -> PreviousResult | None:
    """What the model-day came to so far."""
    row = await connection.fetchrow(
        """select revision, baseline_version from ml_guard.metric_day
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4""",
        *key,
    )
    return None if row is None else PreviousResult(*row)
