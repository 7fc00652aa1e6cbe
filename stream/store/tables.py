"""Which rows does an archive hold, and how do they leave the database and come into one? As COPY's text, table by table.

Tables and columns are found by the catalog, whoever adds them and when.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

Sink = Callable[[bytes], Coroutine[Any, Any, None]]

SESSION = {
    "application_name": "ml_guard archive",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "statement_timeout": "0",
}
"""What the text of a value depends on."""

_NOT_ARCHIVED = ("migration",)
_NOT_EXPORTED = ("dead_letter", "alert_delivery")
"""Of a project: where its refused events lie in another Kafka, and messages that were sent or are to be sent from there."""

_ANNOUNCED = "change_id"
"""The column by which alerts and the live stream follow results: imported ones are no news."""

_BY_DAY = {
    "day_sketch": "day_start",
    "bin_count": "day_start",
    "traffic_minute": "minute",
    "metric_day": "day_start",
    "feature_day": "day_start",
    "feature_hour": "day_start",
}
"""Large tables are copied by the day: the embedded database answers a COPY as a whole."""

_TABLES = """
with recursive ours as (
    select c.oid, c.relname, coalesce(array_agg(a.attname order by a.attnum), '{}')::text[] as columns
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    where c.relnamespace = 'ml_guard'::regnamespace and c.relkind in ('r', 'p')
    group by c.oid
), depth as (
    select oid, 0 as level from ours
    union
    select k.conrelid, d.level + 1 from depth d
    join pg_catalog.pg_constraint k on k.confrelid = d.oid and k.contype = 'f' and k.conrelid <> k.confrelid
    where k.conrelid in (select oid from ours)
)
select o.relname as name, o.columns from ours o join depth d using (oid)
group by o.relname, o.columns order by max(d.level), o.relname"""

_OCCUPIED = ("project", "baseline", "day_sketch", "metric_day")
"""What no database has that nothing was counted in."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table of the schema."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are copied at once: of one day of UTC, or all."""

    rows: int
    day: datetime | None = None


async def connect(database_url: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection whose values read the same on every server."""
    return await asyncpg.connect(database_url, statement_cache_size=0, server_settings=SESSION)


async def stored_tables(connection: asyncpg.Connection[asyncpg.Record]) -> list[StoredTable]:
    """The schema's tables, in an order in which their rows can be written: what is referred to comes first."""
    rows = await connection.fetch(_TABLES)
    return [
        StoredTable(row["name"], tuple(row["columns"])) for row in rows if row["name"] not in _NOT_ARCHIVED
    ]


def of_project(tables: Sequence[StoredTable]) -> list[StoredTable]:
    """Those that an export holds."""
    return [table for table in tables if "project_id" in table.columns and table.name not in _NOT_EXPORTED]


async def parts(
    connection: asyncpg.Connection[asyncpg.Record], table: StoredTable, project_id: str | None
) -> list[Part]:
    """How many rows there are, a part at a time."""
    where, values = ("", []) if project_id is None else ("where project_id = $1", [project_id])
    if table.name in _BY_DAY:
        rows = await connection.fetch(
            f"""select date_trunc('day', {_BY_DAY[table.name]}) as day, count(*) as rows
                from ml_guard.{table.name} {where} group by 1 order by 1""",  # noqa: S608
            *values,
        )
        return [Part(row["rows"], row["day"]) for row in rows]
    count = await connection.fetchval(f'select count(*) from ml_guard."{table.name}" {where}', *values)  # noqa: S608
    return [Part(count)] if count else []


async def rows_of(connection: asyncpg.Connection[asyncpg.Record], table: str, project_id: str) -> int:
    """How many rows of the project a table of the schema has."""
    count: int = await connection.fetchval(
        f'select count(*) from ml_guard."{table}" where project_id = $1',  # noqa: S608
        project_id,
    )
    return count


async def copy_out(
    connection: asyncpg.Connection[asyncpg.Record],
    table: StoredTable,
    part: Part,
    project_id: str | None,
    sink: Sink,
) -> None:
    """Give the text of these rows to the sink."""
    wanted = []
    if part.day is not None:
        begin, end = part.day.astimezone(UTC), part.day.astimezone(UTC) + timedelta(days=1)
        wanted.append(
            f"{_BY_DAY[table.name]} >= '{begin.isoformat()}' and {_BY_DAY[table.name]} < '{end.isoformat()}'"
        )
    columns = [f'"{column}"' for column in table.columns]
    if project_id is not None:
        wanted.append(
            f"project_id = {await connection.fetchval('select quote_literal($1::text)', project_id)}"
        )
        columns = ["0" if column == f'"{_ANNOUNCED}"' else column for column in columns]
    where = f"where {' and '.join(wanted)}" if wanted else ""
    await connection.copy_from_query(
        f'select {", ".join(columns)} from ml_guard."{table.name}" {where}',  # noqa: S608
        output=sink,
    )


async def copy_in(
    connection: asyncpg.Connection[asyncpg.Record], table: str, columns: Sequence[str], text: bytes
) -> int:
    """Write the rows of a piece of text; how many."""

    async def source() -> AsyncIterator[
        bytes
    ]:  # of a file asyncpg would keep its bytes until a full collection
        yield text

    tag = await connection.copy_to_table(
        table, source=source(), schema_name="ml_guard", columns=list(columns)
    )
    return int(tag.rpartition(" ")[2])


async def sequences(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    """How far the schema's sequences have come; none that was never used."""
    rows = await connection.fetch(
        """select sequencename, last_value from pg_catalog.pg_sequences
           where schemaname = 'ml_guard' and last_value is not null order by 1"""
    )
    return {row["sequencename"]: row["last_value"] for row in rows}


async def migrations(connection: asyncpg.Connection[asyncpg.Record]) -> list[tuple[int, str, str]]:
    """Number, name and checksum of what was applied; nothing where there is no schema."""
    if await connection.fetchval("select to_regclass('ml_guard.migration')") is None:
        return []
    rows = await connection.fetch("select number, name, sha256 from ml_guard.migration order by number")
    return [(row["number"], row["name"], row["sha256"]) for row in rows]


async def occupied(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    """A table that holds something that was counted; None: nothing was, whatever a started stack has made by itself."""
    for table in _OCCUPIED:
        if await connection.fetchval(f"select exists (select from ml_guard.{table})"):  # noqa: S608
            return table
    return None


async def has_project(connection: asyncpg.Connection[asyncpg.Record], project_id: str) -> bool:
    """Whether there is such a project."""
    found = await connection.fetchval("select 1 from ml_guard.project where project_id = $1", project_id)
    return found is not None


async def begin_restore(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Remove what a started stack has made by itself, and remember what must outlive it until the transaction's end.

    Its keys stay valid, and its fences, lease and generation are surpassed: no worker of it takes the restored for its own.
    """
    await connection.execute(
        "create temporary table kept_key on commit drop as select * from ml_guard.api_key"
    )
    await connection.execute(
        'create temporary table kept_fence on commit drop as select topic, "partition", epoch from ml_guard.stream_fence'
    )
    await connection.execute(
        """create temporary table kept_mark on commit drop as
           select (select max(epoch) from ml_guard.lease) as lease,
                  (select generation from ml_guard.catalog) as generation"""
    )
    for table in reversed(await stored_tables(connection)):
        await connection.execute(f'delete from ml_guard."{table.name}"')  # noqa: S608


async def end_restore(connection: asyncpg.Connection[asyncpg.Record], sequences_at: dict[str, int]) -> None:
    """Set in order what the restored rows alone would leave open; the last statements of a restore's transaction.

    Workers and readers of the database that was lost may hold numbers that were given after the backup: milliseconds
    are beyond all of them.
    """
    await connection.execute("insert into ml_guard.api_key select * from kept_key on conflict do nothing")
    beyond = await connection.fetchval("select (extract(epoch from now()) * 1000)::bigint")
    await connection.execute(
        """update ml_guard.stream_fence f set owner = null, heartbeat_at = null,
               epoch = greatest($1, 1 + greatest(f.epoch, (select k.epoch from kept_fence k
                                                            where k.topic = f.topic and k."partition" = f."partition")))""",
        beyond,
    )
    await connection.execute(
        """update ml_guard.lease set epoch = greatest($1, 1 + greatest(epoch, (select lease from kept_mark))),
               holder = null, expires_at = '-infinity'""",
        beyond,
    )
    await connection.execute(
        """update ml_guard.catalog
              set generation = greatest($1, 1 + greatest(generation, (select k.generation from kept_mark k)))""",
        beyond,
    )
    for name, value in sequences_at.items():
        await connection.execute("select setval(format('ml_guard.%I', $1::text)::regclass, $2)", name, value)
    await connection.execute(
        "select setval('ml_guard.result_change', greatest(last_value, $1)) from ml_guard.result_change",
        beyond,
    )


async def begin_anew(connection: asyncpg.Connection[asyncpg.Record], project_id: str) -> None:
    """Days of an imported project that were closing wait for the offsets of this stack's log, not of the former's."""
    await connection.execute(
        """update ml_guard.day_close set status = 'open', barrier = null, barrier_at = null
           where project_id = $1 and status = 'closing'""",
        project_id,
    )


async def traffic_days(
    connection: asyncpg.Connection[asyncpg.Record], project_id: str | None
) -> Iterator[tuple[datetime, datetime]]:
    """The days of UTC with traffic: the aggregates are to be refreshed there."""
    rows = await connection.fetch(
        """select distinct date_trunc('day', minute) as day from ml_guard.traffic_minute
           where $1::text is null or project_id = $1 order by 1""",
        project_id,
    )
    return ((row["day"], row["day"] + timedelta(days=1)) for row in rows)
