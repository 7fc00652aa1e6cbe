"""A migration is cut off at any point: the next one completes it, to the schema of one that was not."""

from __future__ import annotations

import asyncpg
import pytest

from stream.migrate import MigrationError, migrate, read
from tests.chaos.lasting import lasting
from tests.chaos.proxy import Proxy
from tests.chaos.site import port_of, through

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(lasting(400, 900))]
SCHEMA = {
    "columns": """select table_name, column_name, data_type, is_nullable, column_default
                    from information_schema.columns where table_schema = 'ml_guard'""",
    "constraints": """select conname, pg_get_constraintdef(oid) from pg_constraint
                       where connamespace = 'ml_guard'::regnamespace""",
    "indexes": "select indexname, indexdef from pg_indexes where schemaname = 'ml_guard'",
    "functions": """select proname, md5(prosrc) from pg_proc where pronamespace = 'ml_guard'::regnamespace""",
    "comments": """select c.relname, d.objsubid, d.description from pg_description d join pg_class c on c.oid = d.objoid
                    where c.relnamespace = 'ml_guard'::regnamespace""",
    "hypertables": """select hypertable_name, compression_enabled from timescaledb_information.hypertables
                       where hypertable_schema = 'ml_guard'""",
    "jobs": "select proc_name, hypertable_name from timescaledb_information.jobs where hypertable_schema = 'ml_guard'",
}


async def schema(url: str) -> dict[str, list[str]]:
    """Everything that makes a schema."""
    connection = await asyncpg.connect(url)
    try:
        return {
            name: sorted(str(tuple(row)) for row in await connection.fetch(query))
            for name, query in SCHEMA.items()
        }
    finally:
        await connection.close()


async def drop(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("drop schema if exists ml_guard cascade")
    await connection.close()


async def test_a_migration_cut_off_half_way_is_completed_by_the_next(bare_database_url: str) -> None:
    url, cuts = bare_database_url, int(lasting(5, 40))
    await drop(url)
    with Proxy(port_of(url)) as proxy:
        await migrate(through(url, proxy))
        whole, nbytes = await schema(url), proxy.up
        interrupted = 0
        for number in range(1, cuts + 1):
            await drop(url)
            before = proxy.cuts
            proxy.cut_behind(nbytes * number // (cuts + 1))
            with pytest.raises((MigrationError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                await migrate(through(url, proxy))
            assert proxy.cuts > before
            interrupted += 1
            await migrate(url)
            assert await schema(url) == whole
    assert interrupted == cuts
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select count(*) from ml_guard.migration") == len(read())
    await connection.close()
