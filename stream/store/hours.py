"""What had a model-day come to at a full hour? Writes and reads `feature_hour`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from stream.store.closing import ProjectDay
from stream.store.pool import Connection
from stream.store.snapshot import EVENTS, ModelDayKey


class HourFeature(NamedTuple):
    """A feature since the day began; the last seven are of numbers only."""

    feature: str
    kind: str
    n: int
    counts: tuple[int, ...] | None
    mean: float | None = None
    p05: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Hour:
    """A model-day at a full local hour."""

    day: date
    day_start: datetime
    hour: int
    hour_at: datetime
    events: int
    baseline_version: int | None
    features: tuple[HourFeature, ...]


class FollowedDay(NamedTuple):
    """A day that has results."""

    day: date
    day_start: datetime
    zone: str
    status: str
    requests: int
    baseline_version: int | None


_OF_HOUR = ("day", "day_start", "hour", "hour_at", "baseline_version")


async def requests_before(
    connection: Connection, key: ModelDayKey, instants: Sequence[datetime]
) -> list[int]:
    """How many of the day's requests have timestamps before each instant, by the minutes' exact counts."""
    rows = await connection.fetch(
        """select i.instant, coalesce((
                  select sum(t.requests) from ml_guard.traffic_minute t
                  where t.project_id = $1 and t.model_id = $2 and t.endpoint = $3
                    and t.minute >= $4 and t.minute < $6 and t.minute < i.instant), 0)::bigint as requests
           from unnest($5::timestamptz[]) as i(instant) order by i.instant""",
        *key,
        list(instants),
        max(instants),
    )
    return [row["requests"] for row in rows]


async def write_hours(
    connection: Connection, key: ModelDayKey, day: ProjectDay, hours: Sequence[Hour]
) -> None:
    """Store snapshots of a model-day; an hour that has one keeps it."""
    rows = [
        (hour.hour, hour.hour_at, hour.baseline_version, *feature[:3], _as_text(feature.counts), *feature[4:])
        for hour in hours
        for feature in (HourFeature(EVENTS, "events", hour.events, None), *hour.features)
    ]
    await connection.execute(
        """insert into ml_guard.feature_hour (project_id, model_id, endpoint, day_start, day, hour, hour_at,
               baseline_version, feature, kind, n, counts, mean, p05, p25, p50, p75, p95, p99)
           select $1, $2, $3, $4, $5, r.hour, r.hour_at, r.version, r.feature, r.kind, r.n, r.counts::bigint[], r.mean,
                  r.p05, r.p25, r.p50, r.p75, r.p95, r.p99
             from unnest($6::smallint[], $7::timestamptz[], $8::integer[], $9::text[], $10::text[], $11::bigint[],
                         $12::text[], $13::float8[], $14::float8[], $15::float8[], $16::float8[], $17::float8[],
                         $18::float8[], $19::float8[])
                  as r(hour, hour_at, version, feature, kind, n, counts, mean, p05, p25, p50, p75, p95, p99)
           on conflict do nothing""",
        *key,
        day.day,
        *map(list, zip(*rows, strict=True)),
    )


def _as_text(counts: Sequence[int] | None) -> str | None:
    """PostgreSQL has no arrays of unequal arrays, so each travels as text."""
    return None if counts is None else "{" + ",".join(map(str, counts)) + "}"


async def newest_days(
    connection: Connection, project_id: str, model_id: str, endpoint: str, limit: int
) -> list[FollowedDay]:
    """The newest days of a model's endpoint, the newest first."""
    rows = await connection.fetch(
        """select day, day_start, zone, status, requests, baseline_version from ml_guard.metric_day
           where project_id = $1 and model_id = $2 and endpoint = $3 order by day_start desc limit $4""",
        project_id,
        model_id,
        endpoint,
        limit,
    )
    return [FollowedDay(*row) for row in rows]


async def last_hour(connection: Connection, key: ModelDayKey) -> int | None:
    """The latest hour of a model-day that has a snapshot."""
    found: int | None = await connection.fetchval(
        """select max(hour) from ml_guard.feature_hour
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4""",
        *key,
    )
    return found


async def read_hours(
    connection: Connection,
    project_id: str,
    model_id: str,
    endpoint: str,
    day_starts: Sequence[datetime],
    hour: int,
) -> dict[datetime, Hour]:
    """Some days at the same hour, by their starts; those without a snapshot are left out."""
    rows = await connection.fetch(
        f"""select {", ".join(_OF_HOUR)}, {", ".join(HourFeature._fields)} from ml_guard.feature_hour
            where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = any($4::timestamptz[])
              and day_start >= $5 and day_start <= $6 and hour = $7
            order by day_start, feature, kind""",  # noqa: S608  names of this module only
        project_id,
        model_id,
        endpoint,
        list(day_starts),
        min(day_starts),
        max(day_starts),
        hour,
    )
    features: dict[datetime, list[HourFeature]] = {}
    head: dict[datetime, tuple[date, datetime, int, datetime, int, int | None]] = {}
    for row in rows:
        day_start = row["day_start"]
        if row["kind"] == "events":
            head[day_start] = (
                row["day"],
                day_start,
                row["hour"],
                row["hour_at"],
                row["n"],
                row["baseline_version"],
            )
            continue
        values = [row[name] for name in HourFeature._fields]
        found = HourFeature(*values)
        features.setdefault(day_start, []).append(
            found._replace(counts=None if found.counts is None else tuple(found.counts))
        )
    return {start: Hour(*values, tuple(features.get(start, ()))) for start, values in head.items()}
