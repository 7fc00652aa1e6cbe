"""A project whose worker is played by hand: a clock, a log of four partitions, and checkpoints made of raw values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from stream.bins import FrozenBins, count
from stream.closing.capture import Captured, capture
from stream.closing.close import Closed, Closer
from stream.closing.reading import StateReader
from stream.closing.rollup import Pass, Roller
from stream.closing.steps import Rules
from stream.days import Calendar, Day, to_us
from stream.sketches import CategorySketch, NumericSketch
from stream.store.lease import CLOSER, Lease, take
from stream.store.pool import Connection, Pool

TOPIC = "events"
PARTITIONS = 4
GRACE = timedelta(seconds=60)
RULES = Rules(grace=GRACE)

Values = np.ndarray | Sequence[str] | Sequence[bool]


def at(text: str) -> datetime:
    """An instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    """The time, as the test says."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class World:
    """Everything around one project."""

    pool: Pool
    connection: Connection
    clock: Clock
    lease: Lease
    project: str = "shop"
    model: str = "churn"
    endpoint: str = "predict"
    calendar: Calendar = field(default_factory=lambda: Calendar.of("UTC"))
    rules: Rules = RULES
    ends: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    raw: dict[tuple[Any, ...], dict[str, list[Values]]] = field(default_factory=dict)
    events: dict[tuple[Any, ...], int] = field(default_factory=Counter)
    pins: dict[tuple[Any, ...], int | None] = field(default_factory=dict)
    baselines: dict[str, tuple[int, Mapping[str, FrozenBins]]] = field(default_factory=dict)
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __post_init__(self) -> None:
        occupied: set[Any] = set()
        self.roller = Roller(StateReader(), self.executor, occupied)
        self.closer = self.new_closer(occupied)

    def new_closer(self, occupied: set[Any]) -> Closer:
        return Closer(StateReader(), self.executor, self.clock, self.end_offsets, TOPIC, self.rules, occupied)

    @classmethod
    async def begin(cls, pool: Pool, now: datetime, **changes: Any) -> World:
        connection = await pool.acquire()
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
        assert lease is not None
        world = cls(pool, connection, Clock(now), lease, **changes)
        await connection.execute("insert into ml_guard.project (project_id) values ($1)", world.project)
        for partition in range(PARTITIONS):
            await connection.execute(
                'insert into ml_guard.stream_fence (topic, "partition", heartbeat_at) values ($1, $2, $3)',
                TOPIC,
                partition,
                now,
            )
        return world

    async def end_offsets(self) -> Mapping[int, int]:
        return dict(self.ends)

    def produce(self, shard: int, records: int = 1) -> None:
        """Records that are in the log, and not folded yet."""
        self.ends[shard] += records

    async def pass_fence(self, shard: int) -> None:
        """The worker has folded all of a partition, whatever was in it."""
        await self.connection.execute(
            'update ml_guard.stream_fence set next_offset = $3 where topic = $1 and "partition" = $2',
            TOPIC,
            shard,
            self.ends[shard],
        )

    async def checkpoint(
        self,
        when: datetime,
        events: int,
        values: Mapping[str, Values],
        *,
        shard: int = 0,
        model: str | None = None,
        uncounted: Sequence[str] = (),
    ) -> Day:
        """Fold events of the day that `when` is in, and write what a worker writes, in one transaction.

        A feature named in `uncounted` gets no counters, as if the worker had not known its bins yet.
        """
        day = self.calendar.day_of(to_us(when))
        model = model or self.model
        key = (self.project, model, self.endpoint, day.start, shard)
        self.events[key] += events
        raw = self.raw.setdefault(key, {})
        for name, added in values.items():
            raw.setdefault(name, []).append(added)
        version, bins = self.baselines.get(model, (None, {}))
        pinned = self.pins.setdefault(key, version)
        self.ends[shard] += events
        async with self.connection.transaction():
            await self.pass_fence(shard)
            await self._register(model, day)
            await self._write(key, day, "@events", "events", self.events[key], None, pinned)
            for name, parts in raw.items():
                kind, n, sketch, countable = _folded(parts)
                await self._write(key, day, name, kind, n, sketch, None)
                if pinned is not None and name in bins and name not in uncounted and bins[name].kind == kind:
                    await self._count(key, name, kind, pinned, n, count(countable, bins[name]).tolist())
            await self.connection.execute(
                """insert into ml_guard.day_change values ($1, $2, $3, $4, $5, $6, $7)
                   on conflict (project_id, model_id, endpoint, day_start, shard)
                   do update set next_offset = excluded.next_offset, changed_at = excluded.changed_at""",
                *key,
                self.ends[shard],
                self.clock(),
            )
        return day

    async def _register(self, model: str, day: Day) -> None:
        await self.connection.execute(
            """insert into ml_guard.model (project_id, model_id, endpoint) values ($1, $2, $3)
               on conflict do nothing""",
            self.project,
            model,
            self.endpoint,
        )
        await self.connection.execute(
            """insert into ml_guard.day_close (project_id, day_start, day, day_end, zone, first_seen_at)
               values ($1, $2, $3, $4, $5, $6) on conflict do nothing""",
            self.project,
            day.start,
            day.day,
            day.end,
            day.zone,
            self.clock(),
        )

    async def _write(
        self,
        key: tuple[Any, ...],
        day: Day,
        feature: str,
        kind: str,
        n: int,
        sketch: NumericSketch | CategorySketch | None,
        version: int | None,
    ) -> None:
        project, model, endpoint, day_start, shard = key
        await self.connection.execute(
            """insert into ml_guard.day_sketch as s (project_id, model_id, endpoint, feature, kind, day_start, shard,
                   day, day_end, zone, n, sketch, baseline_version, first_event_at, last_event_at)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
               on conflict (project_id, model_id, endpoint, day_start, feature, kind, shard)
               do update set n = excluded.n, sketch = excluded.sketch""",
            project,
            model,
            endpoint,
            feature,
            kind,
            day_start,
            shard,
            day.day,
            day.end,
            day.zone,
            n,
            None if sketch is None else sketch.to_bytes(),
            version,
            day.start,
            day.end - timedelta(microseconds=1),
        )

    async def _count(
        self, key: tuple[Any, ...], feature: str, kind: str, version: int, n: int, counts: list[int]
    ) -> None:
        project, model, endpoint, day_start, shard = key
        await self.connection.execute(
            """insert into ml_guard.bin_count (project_id, model_id, endpoint, feature, kind, baseline_version,
                   day_start, shard, n, counts) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               on conflict (project_id, model_id, endpoint, day_start, feature, kind, baseline_version, shard)
               do update set n = excluded.n, counts = excluded.counts""",
            project,
            model,
            endpoint,
            feature,
            kind,
            version,
            day_start,
            shard,
            n,
            counts,
        )

    async def roll(self) -> list[Pass]:
        """Roll up until nothing is left to do."""
        passes = []
        while (done := await self.roller.step(self.connection, self.lease)).model_days or done.changed:
            passes.append(done)
        return passes

    async def close(self) -> list[Closed]:
        """One pass of the closer."""
        return await self.closer.step(self.connection, self.lease)

    async def capture(self, *days: str, model: str | None = None, note: str = "") -> Captured:
        """Capture a baseline; from the next day on the worker counts against it."""
        captured = await capture(
            self.pool,
            self.project,
            model or self.model,
            self.endpoint,
            [date.fromisoformat(day) for day in days],
            captured_by="test",
            note=note,
        )
        assert captured.version is not None
        bins = {feature.feature: feature.frozen_bins() for feature in captured.features}
        self.baselines[model or self.model] = (captured.version, bins)
        return captured

    async def closed_day(self, day: str, events: int, values: Mapping[str, Values], **options: Any) -> None:
        """A day that has had its events, and has closed."""
        await self.checkpoint(at(day), events, values, **options)
        await self.roll()
        self.clock.now = max(self.clock.now, self.calendar.day_of(to_us(at(day))).end + GRACE)
        self.clock.pass_(seconds=self.rules.settle.total_seconds())
        await self.close()

    async def feature(self, feature: str, day: str, kind: str | None = None, **where: Any) -> dict[str, Any]:
        """A row of feature_day."""
        row = await self.connection.fetchrow(
            """select * from ml_guard.feature_day where project_id = $1 and model_id = $2 and feature = $3
                  and day = $4 and ($5::text is null or kind = $5)""",
            self.project,
            where.get("model", self.model),
            feature,
            date.fromisoformat(day),
            kind,
        )
        assert row is not None, f"no row of {feature} on {day}"
        found = dict(row)
        for name in ("bins", "top"):
            found[name] = None if found[name] is None else json.loads(found[name])
        return found

    async def metric(self, day: str, model: str | None = None) -> dict[str, Any]:
        """A row of metric_day."""
        row = await self.connection.fetchrow(
            "select * from ml_guard.metric_day where project_id = $1 and model_id = $2 and day = $3",
            self.project,
            model or self.model,
            date.fromisoformat(day),
        )
        assert row is not None, f"no row of {day}"
        return dict(row)

    async def day_close(self, day: str) -> dict[str, Any]:
        """A row of day_close."""
        row = await self.connection.fetchrow(
            "select * from ml_guard.day_close where project_id = $1 and day = $2",
            self.project,
            date.fromisoformat(day),
        )
        assert row is not None, f"no row of {day}"
        return dict(row)


def _folded(parts: Sequence[Values]) -> tuple[str, int, NumericSketch | CategorySketch, Any]:
    """Kind, count, sketch, and what counters count, of all values so far."""
    if isinstance(parts[0], np.ndarray):
        values = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        numeric = NumericSketch()
        numeric.update(values)
        return "numeric", numeric.n, numeric, values
    first = parts[0][0]
    labels = Counter(
        str(value).lower() if isinstance(value, bool) else str(value) for part in parts for value in part
    )
    categories = CategorySketch()
    categories.update(labels)
    return "boolean" if isinstance(first, bool) else "categorical", categories.n, categories, labels
