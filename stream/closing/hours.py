"""What had an open day come to at each of its full hours, so that today can be held against the same hours?

A sketch has no hours, and counting by the hour would slow every event down. So the leader keeps what the last rollup of
an open model-day came to. When the newest event has passed a full local hour, that is what the day had come to by then,
but for the events between two rollups. The minutes' exact counts of traffic say how far off it is: where events did
not come in their order (a backfill, a replay, a worker that was away) it is far off, and nothing is stored.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from stream.days import Day, from_us, full_hours, to_us
from stream.store.closing import ProjectDay
from stream.store.hours import Hour, HourFeature, requests_before, write_hours
from stream.store.lease import Lease, fence
from stream.store.pool import Connection
from stream.store.results import FeatureRow, ModelDayResult
from stream.store.snapshot import ModelDayKey

TOLERANCE = 0.01
"""How far the events of a snapshot may be from those before the hour, as a share: far below what sampling adds."""

MODEL_DAYS_A_STEP = 8
"""A step of this size holds nobody up for long; the others follow half a second later."""

ROWS_KEPT = 100_000
"""Features of open model-days in memory, some 600 bytes each; the model-days that changed last stay."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a model-day had come to at a rollup."""

    day: ProjectDay
    events: int
    reached_at: datetime
    """Its newest event, or the time of the rollup where that is earlier: an event of the future has passed no hour."""
    baseline_version: int | None
    features: tuple[HourFeature, ...]


@dataclass(frozen=True, slots=True)
class _Due:
    """Hours that lie between two rollups."""

    key: ModelDayKey
    hours: tuple[tuple[int, datetime], ...]
    before: Standing
    after: Standing


@dataclass
class HourKeeper:
    """Sees the results of rollups, and stores what open days had come to at full hours.

    Parameters
    ----------
    clock : callable
        The time, an aware datetime in UTC.
    """

    clock: Callable[[], datetime]
    _standing: OrderedDict[ModelDayKey, Standing] = field(default_factory=OrderedDict)
    _rows: int = 0
    _due: deque[_Due] = field(default_factory=deque)

    def saw(self, result: ModelDayResult) -> None:
        """A rollup has written this result of an open day. Takes microseconds, touches nothing."""
        key, now = result.state.key, self.clock()
        before = self._forget(key)
        newest = result.metric.last_event_at
        if newest is None or result.state.project_day.day_end <= now:
            return
        after = Standing(
            result.state.project_day,
            result.metric.requests,
            min(newest, now),
            result.baseline_version,
            tuple(_feature(row, result) for row in result.features),
        )
        self._standing[key] = after
        self._rows += len(after.features)
        while self._rows > ROWS_KEPT:
            self._forget(next(iter(self._standing)))
        if before is not None and (hours := _between(before, after)):
            self._due.append(_Due(key, hours, before, after))

    async def step(self, connection: Connection, lease: Lease) -> int:
        """Store the snapshots that are due, some at a time; how many hours.

        Raises
        ------
        LeaseLostError
            If another worker leads now.
        """
        now, stored = self.clock(), 0
        for key in [key for key, standing in self._standing.items() if standing.day.day_end <= now]:
            self._forget(key)
        for _ in range(min(MODEL_DAYS_A_STEP, len(self._due))):
            stored += await self._store(connection, lease, self._due[0])
            self._due.popleft()
        return stored

    async def _store(self, connection: Connection, lease: Lease, due: _Due) -> int:
        async with connection.transaction():
            await fence(connection, lease)
            wanted = await requests_before(connection, due.key, [at for _, at in due.hours])
            hours = [
                hour
                for (number, at), events in zip(due.hours, wanted, strict=True)
                if (hour := _nearest(due, number, at, events)) is not None
            ]
            if hours:
                await write_hours(connection, due.key, due.after.day, hours)
        return len(hours)

    def _forget(self, key: ModelDayKey) -> Standing | None:
        found = self._standing.pop(key, None)
        if found is not None:
            self._rows -= len(found.features)
        return found


def _feature(row: FeatureRow, result: ModelDayResult) -> HourFeature:
    return HourFeature(
        row.feature,
        row.kind,
        row.n,
        result.counts.get((row.feature, row.kind)),
        row.mean,
        row.p05,
        row.p25,
        row.p50,
        row.p75,
        row.p95,
        row.p99,
    )


def _between(before: Standing, after: Standing) -> tuple[tuple[int, datetime], ...]:
    """The full hours that were passed from one rollup to the next."""
    day = after.day
    if _quarter(before.reached_at) == _quarter(after.reached_at):
        return ()
    begin, end = to_us(before.reached_at), to_us(after.reached_at)
    local = Day(day.day, to_us(day.key.day_start), to_us(day.day_end), day.zone)
    return tuple((hour, from_us(at)) for hour, at in full_hours(local) if begin < at <= end)


def _quarter(instant: datetime) -> int:
    """Which quarter of an hour: in every zone a full hour begins one, and most rollups end here."""
    return to_us(instant) // 900_000_000


def _nearest(due: _Due, hour: int, at: datetime, events: int) -> Hour | None:
    """The rollup whose events are nearest to those before the hour, if they are near enough."""
    standing = min(due.before, due.after, key=lambda one: abs(one.events - events))
    if abs(standing.events - events) > max(1, TOLERANCE * events):
        return None
    day = due.after.day
    return Hour(
        day.day,
        day.key.day_start,
        hour,
        at,
        standing.events,
        standing.baseline_version,
        standing.features,
    )
