"""How does each test get the schema as the migrations make it, at the price of emptying it?

Migrating takes longer than most tests. So a schema in which nothing but rows has changed since it was migrated is
emptied, and the rows of the migrations are put back; any other is dropped and migrated anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

_SHAPE = """
select md5(string_agg(what, ';' order by what)) from (
    select concat_ws(',', 'relation', oid, relname, relkind, relacl, reloptions) as what
    from pg_class where relnamespace = 'ml_guard'::regnamespace
    union all
    select concat_ws(',', 'column', attrelid, attnum, attname, atttypid, attnotnull, attacl, pg_get_expr(adbin, adrelid))
    from pg_attribute join pg_class on pg_class.oid = attrelid
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where relnamespace = 'ml_guard'::regnamespace and attnum > 0
    union all
    select concat_ws(',', 'constraint', oid, conname, pg_get_constraintdef(oid))
    from pg_constraint where connamespace = 'ml_guard'::regnamespace
    union all
    select concat_ws(',', 'trigger', pg_trigger.oid, tgname, tgenabled, tgfoid)
    from pg_trigger join pg_class on pg_class.oid = tgrelid where relnamespace = 'ml_guard'::regnamespace
    union all
    select concat_ws(',', 'function', oid, proname, proacl, md5(prosrc))
    from pg_proc where pronamespace = 'ml_guard'::regnamespace
    union all
    select concat_ws(',', 'comment', objoid, objsubid, md5(description))
    from pg_description join pg_class on pg_class.oid = objoid where relnamespace = 'ml_guard'::regnamespace
    union all
    select concat_ws(',', 'job', job_id, proc_name, hypertable_name, schedule_interval, config, scheduled)
    from timescaledb_information.jobs where hypertable_schema = 'ml_guard'
    union all
    select concat_ws(',', 'setting', setrole, setconfig) from pg_db_role_setting
    union all
    select concat_ws(',', 'migration', number, sha256) from ml_guard.migration) as shape"""


@dataclass(frozen=True)
class Schema:
    """What the migrations made: a checksum of everything but rows, and the rows."""

    shape: str
    rows: dict[str, list[asyncpg.Record]]


async def remember(connection: asyncpg.Connection) -> Schema:
    """The schema as it is now, just migrated."""
    rows = {table: await connection.fetch(f"select * from {table}") for table in await _tables(connection)}
    return Schema(await _shape(connection), {table: found for table, found in rows.items() if found})


async def emptied(connection: asyncpg.Connection, schema: Schema) -> bool:
    """Whether the schema was still of that shape, and now has those rows and no others."""
    if not await connection.fetchval("select to_regclass('ml_guard.migration') is not null"):
        return False
    if await _shape(connection) != schema.shape:
        return False
    aggregates = await connection.fetch(
        """select quote_ident(view_schema) || '.' || quote_ident(view_name) as name
           from timescaledb_information.continuous_aggregates"""
    )
    tables = await _tables(connection)
    async with connection.transaction():
        await connection.execute(f"truncate {', '.join(tables)} restart identity cascade")
        for aggregate in aggregates:  # this sets back from when on it looks into the table
            await connection.execute(f"truncate {aggregate['name']}")
        for table, rows in schema.rows.items():
            places = ", ".join(f"${number + 1}" for number in range(len(rows[0])))
            names = ", ".join(f'"{name}"' for name in rows[0].keys())  # noqa: SIM118  a record is no mapping
            insert = f"insert into {table} ({names}) overriding system value values ({places})"
            await connection.executemany(insert, [tuple(row.values()) for row in rows])
    return True


async def _shape(connection: asyncpg.Connection) -> str:
    shape: str = await connection.fetchval(_SHAPE)
    return shape


async def _tables(connection: asyncpg.Connection) -> list[str]:
    return [
        row["name"]
        for row in await connection.fetch(
            """select 'ml_guard.' || quote_ident(relname) as name from pg_class
               where relnamespace = 'ml_guard'::regnamespace and relkind in ('r', 'p') order by relname"""
        )
    ]
