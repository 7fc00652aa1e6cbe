"""How is a model-day's state written and read: its sketches, its counters against frozen bins, its traffic?

Rows are tuples in the order of the columns named here, sent as one array a column. Lists that a row itself holds
travel as text (`{1,2,3}`), because PostgreSQL has no arrays of unequal arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from stream.store.pool import Connection


class ModelDayKey(NamedTuple):
    """Which model-day."""

    project_id: str
    model_id: str
    endpoint: str
    day_start: datetime


class SketchRow(NamedTuple):
    """A row of `day_sketch` of one shard."""

    project_id: str
    model_id: str
    endpoint: str
    feature: str
    kind: str
    day_start: datetime
    day: date
    day_end: datetime
    zone: str
    n: int
    non_finite: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    m2: float | None
    sketch: bytes | None
    baseline_version: int | None
    first_event_at: datetime | None
    last_event_at: datetime | None


class BinRow(NamedTuple):
    """A row of `bin_count` of one shard."""

    project_id: str
    model_id: str
    endpoint: str
    feature: str
    kind: str
    baseline_version: int
    day_start: datetime
    n: int
    counts: str


class TrafficRow(NamedTuple):
    """What is to be added to a row of `traffic_minute` of one shard."""

    project_id: str
    model_id: str
    endpoint: str
    minute: datetime
    requests: int
    latency_n: int
    latency_sum_ms: float
    latency_low: int
    latency_counts: str


class ChangedDay(NamedTuple):
    """A day that a checkpoint touched, of one project."""

    project_id: str
    day_start: datetime
    day: date
    day_end: datetime
    zone: str


class StoredSketch(NamedTuple):
    """What a worker needs of a `day_sketch` row to go on with it."""

    feature: str
    kind: str
    n: int
    sketch: bytes | None
    baseline_version: int | None
    first_event_at: datetime | None
    last_event_at: datetime | None


class StoredBins(NamedTuple):
    """What a worker needs of a `bin_count` row."""

    feature: str
    kind: str
    baseline_version: int
    n: int
    counts: list[int]


def pg_array(numbers: Iterable[int]) -> str:
    """PostgreSQL's text of an array.

    >>> pg_array([1, 2])
    '{1,2}'
    """
    return "{" + ",".join(map(str, numbers)) + "}"


def columns(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Rows as columns."""
    return list(zip(*rows, strict=True))


_UPSERT_SKETCHES = """
insert into ml_guard.day_sketch (
    project_id, model_id, endpoint, feature, kind, day_start, day, day_end, zone, n, non_finite,
    minimum, maximum, mean, m2, sketch, baseline_version, first_event_at, last_event_at, shard)
select r.*, $1 from unnest(
    $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::date[], $9::timestamptz[],
    $10::text[], $11::bigint[], $12::bigint[], $13::double precision[], $14::double precision[],
    $15::double precision[], $16::double precision[], $17::bytea[], $18::integer[], $19::timestamptz[],
    $20::timestamptz[]) as r
on conflict (project_id, model_id, endpoint, day_start, feature, kind, shard) do update set
    day = excluded.day, day_end = excluded.day_end, zone = excluded.zone,
    n = excluded.n, non_finite = excluded.non_finite, minimum = excluded.minimum, maximum = excluded.maximum,
    mean = excluded.mean, m2 = excluded.m2, sketch = excluded.sketch,
    baseline_version = excluded.baseline_version,
    first_event_at = excluded.first_event_at, last_event_at = excluded.last_event_at"""

_UPSERT_BINS = """
insert into ml_guard.bin_count (
    project_id, model_id, endpoint, feature, kind, baseline_version, day_start, n, counts, shard)
select r.project_id, r.model_id, r.endpoint, r.feature, r.kind, r.baseline_version, r.day_start, r.n,
       r.counts::bigint[], $1
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
              $9::bigint[], $10::text[])
    as r(project_id, model_id, endpoint, feature, kind, baseline_version, day_start, n, counts)
on conflict (project_id, model_id, endpoint, day_start, feature, kind, baseline_version, shard) do update set
    n = excluded.n, counts = excluded.counts"""

_ADD_TRAFFIC = """
insert into ml_guard.traffic_minute as t (
    project_id, model_id, endpoint, minute, shard, requests, latency_n, latency_sum_ms, latency_low, latency_counts)
select d.project_id, d.model_id, d.endpoint, d.minute, $1, d.requests, d.latency_n, d.latency_sum_ms,
       case when d.latency_n > 0 then d.latency_low end,
       case when d.latency_n > 0 then d.latency_counts::integer[] end
  from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[],
              $8::double precision[], $9::smallint[], $10::text[])
    as d(project_id, model_id, endpoint, minute, requests, latency_n, latency_sum_ms, latency_low, latency_counts)
on conflict (project_id, model_id, endpoint, minute, shard) do update set
    requests = t.requests + excluded.requests,
    latency_n = t.latency_n + excluded.latency_n,
    latency_sum_ms = t.latency_sum_ms + excluded.latency_sum_ms,
    latency_low = least(t.latency_low, excluded.latency_low),
    latency_counts = ml_guard.histogram_add(
        t.latency_low, t.latency_counts, excluded.latency_low, excluded.latency_counts)"""

_NOTE_CHANGES = """
insert into ml_guard.day_change (project_id, model_id, endpoint, day_start, shard, next_offset, changed_at)
select r.*, $1, $2, $3 from unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[]) as r
on conflict (project_id, model_id, endpoint, day_start, shard) do update set
    next_offset = excluded.next_offset, changed_at = excluded.changed_at"""

_OPEN_DAYS = """
insert into ml_guard.day_close (project_id, day_start, day, day_end, zone, first_seen_at)
select r.*, $1 from unnest($2::text[], $3::timestamptz[], $4::date[], $5::timestamptz[], $6::text[]) as r
on conflict (project_id, day_start) do nothing"""

_KEYS = "unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as k(p, m, e, d)"
# The bounds on the day let TimescaleDB leave out all other chunks, which a join alone does not.
_JOIN = """on s.project_id = k.p and s.model_id = k.m and s.endpoint = k.e and s.day_start = k.d and s.shard = $5
      where s.day_start between $6 and $7"""


async def upsert_sketches(connection: Connection, shard: int, rows: Sequence[SketchRow]) -> None:
    """Replace the shard's rows by these."""
    if rows:
        await connection.execute(_UPSERT_SKETCHES, shard, *columns(rows))


async def upsert_bins(connection: Connection, shard: int, rows: Sequence[BinRow]) -> None:
    """Replace the shard's rows by these."""
    if rows:
        await connection.execute(_UPSERT_BINS, shard, *columns(rows))


async def add_traffic(connection: Connection, shard: int, rows: Sequence[TrafficRow]) -> None:
    """Add these to the shard's rows. Keys must be unique within one call."""
    if rows:
        await connection.execute(_ADD_TRAFFIC, shard, *columns(sorted(rows)))


async def note_changes(
    connection: Connection, shard: int, next_offset: int, now: datetime, keys: Iterable[ModelDayKey]
) -> None:
    """Queue the model-days for the next rollup."""
    rows = sorted(keys)
    if rows:
        await connection.execute(_NOTE_CHANGES, shard, next_offset, now, *columns(rows))


async def open_days(connection: Connection, now: datetime, days: Iterable[ChangedDay]) -> None:
    """Make the project-days known to whoever closes them."""
    rows = sorted(days)
    if rows:
        await connection.execute(_OPEN_DAYS, now, *columns(rows))


async def load_sketches(
    connection: Connection, shard: int, keys: Sequence[ModelDayKey]
) -> dict[ModelDayKey, list[StoredSketch]]:
    """What the shard's rows of these model-days hold."""
    found: dict[ModelDayKey, list[StoredSketch]] = defaultdict(list)
    for row in await connection.fetch(
        f"""select s.project_id, s.model_id, s.endpoint, s.day_start, s.feature, s.kind, s.n, s.sketch,
                   s.baseline_version, s.first_event_at, s.last_event_at
              from {_KEYS} join ml_guard.day_sketch s {_JOIN}""",  # noqa: S608
        *_key_arguments(shard, keys),
    ):
        found[ModelDayKey(*row[:4])].append(StoredSketch(*row[4:]))
    return found


async def load_bins(
    connection: Connection, shard: int, keys: Sequence[ModelDayKey]
) -> dict[ModelDayKey, list[StoredBins]]:
    """What the shard's counters of these model-days hold."""
    found: dict[ModelDayKey, list[StoredBins]] = defaultdict(list)
    for row in await connection.fetch(
        f"""select s.project_id, s.model_id, s.endpoint, s.day_start, s.feature, s.kind, s.baseline_version,
                   s.n, s.counts
              from {_KEYS} join ml_guard.bin_count s {_JOIN}""",  # noqa: S608
        *_key_arguments(shard, keys),
    ):
        found[ModelDayKey(*row[:4])].append(StoredBins(*row[4:]))
    return found


def _key_arguments(shard: int, keys: Sequence[ModelDayKey]) -> list[object]:
    starts = [key.day_start for key in keys]
    return [*columns(keys), shard, min(starts), max(starts)]
