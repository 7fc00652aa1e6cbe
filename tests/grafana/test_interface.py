"""Do the boards read only what docs/sql.md documents, and may their login read that and nothing else?"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from stream.reader import LOGIN, set_login
from tests.conftest import run_apart
from tests.grafana.filled import BOARDS, Range, every_query, filled
from tests.sql.planted import plant_at

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
PASSWORD = "reads-only"
QUERIES = [(name, what, sql) for name, board in BOARDS.items() for what, sql in every_query(board)]
VALUES = {
    "project": "shop",
    "model": "churn",
    "endpoint": "predict",
    "feature": "country",
    "day": "2025-03-01",
}

WRITES = [
    "insert into ml_guard.project (project_id) values ('x')",
    "update ml_guard.model set endpoint = 'x'",
    "delete from ml_guard.alert",
    "truncate ml_guard.baseline",
    "drop view ml_guard.daily_metrics",
    "alter table ml_guard.project add column x integer",
    "create table ml_guard.x (a integer)",
    "create table public.x (a integer)",
    "create schema x",
    "create role x",
    "call ml_guard.set_policies()",
    "call ml_guard.keep_hours()",
    "with gone as (delete from ml_guard.dead_letter returning 1) select count(*) from gone",
    "insert into ml_guard.pages (page, url) values ('x', 'x')",
    "update ml_guard.daily_metrics set requests = 0",
    "select * from ml_guard.daily_metrics for update",
    "select nextval('ml_guard.result_change')",
    f"grant ml_guard_api to {LOGIN}",
    "copy ml_guard.daily_metrics to '/tmp/x'",
]


def documented(heading: str) -> set[str]:
    """The names in the first column of a table of the page."""
    (rows,) = re.findall(rf"^\| {heading} \|.*\n\|[- |]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return {name for row in rows.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


RELATIONS, FUNCTIONS = documented("view"), documented("function")


@pytest.fixture(scope="module")
def planted_url(module_database_url: str) -> str:
    run_apart(plant_at(module_database_url))
    run_apart(set_login(module_database_url, PASSWORD))
    return module_database_url


@pytest.fixture
async def owner(planted_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(planted_url)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(planted_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Logged in as Grafana is; what it may set is set against it."""
    place = urlsplit(planted_url)
    connection = await asyncpg.connect(
        host=place.hostname,
        port=place.port,
        database=place.path[1:],
        user=LOGIN,
        password=PASSWORD,
        server_settings={"default_transaction_read_only": "off"},
    )
    yield connection
    await connection.close()


@pytest.mark.parametrize(("board", "what", "sql"), QUERIES, ids=[f"{b}: {what}" for b, what, _ in QUERIES])
async def test_a_query_names_documented_views_and_functions_only(
    owner: asyncpg.Connection, board: str, what: str, sql: str
) -> None:
    """PostgreSQL itself says what a query names: it is parsed into a view, which depends on just that."""
    now = datetime.now(UTC)
    values = VALUES if board == "model" else {**VALUES, "project": ["shop", "o'hara"]}
    await owner.execute(
        f"create temp view named as {filled(sql, values, Range(now - timedelta(days=14), now))}"
    )
    try:
        rows = await owner.fetch(
            """select distinct coalesce(c.relname, p.proname)::text as name, c.relname is not null as relation,
                      coalesce(c.relnamespace, p.pronamespace)::regnamespace::text as schema
                 from pg_depend d
                 left join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
                 left join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
                where d.classid = 'pg_rewrite'::regclass and d.deptype = 'n' and (c.oid is not null or p.oid is not null)
                  and d.objid = (select oid from pg_rewrite where ev_class = 'pg_temp.named'::regclass)"""
        )
    finally:
        await owner.execute("drop view pg_temp.named")
    assert {row["schema"] for row in rows} == {"ml_guard"}
    assert {row["name"] for row in rows if row["relation"]} <= RELATIONS
    assert {row["name"] for row in rows if not row["relation"]} <= FUNCTIONS


async def test_what_is_documented_is_what_the_role_may_read(owner: asyncpg.Connection) -> None:
    readable = await owner.fetch(
        """select relname::text as name from pg_class c
            where relnamespace = 'ml_guard'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'S')
              and (case relkind when 'S' then has_sequence_privilege($1, oid, 'usage, select, update')
                                else has_any_column_privilege($1, oid, 'select, insert, update, references') end)""",
        LOGIN,
    )
    assert {row["name"] for row in readable} == RELATIONS
    functions = {
        row["name"]
        for row in await owner.fetch(
            """select proname::text as name from pg_proc where pronamespace = 'ml_guard'::regnamespace
               and has_function_privilege($1, oid, 'execute')""",
            LOGIN,
        )
    }
    assert functions >= FUNCTIONS
    writing = await owner.fetch(
        """select proname::text from pg_proc where pronamespace = 'ml_guard'::regnamespace
           and (prokind = 'p' or provolatile = 'v') and prosecdef""",
    )
    assert writing == [], "with its owner's rights it would write for whoever calls it"


@pytest.mark.parametrize("relation", sorted(RELATIONS))
async def test_the_login_reads_every_documented_view(reader: asyncpg.Connection, relation: str) -> None:
    assert await reader.fetchval(f"select count(*) from ml_guard.{relation}") >= 1


async def test_the_login_calls_every_documented_function(reader: asyncpg.Connection) -> None:
    of_range = "'shop', 'churn', 'predict', now() - interval '30 hours', now()"
    row = await reader.fetchrow(
        f"""select ml_guard.latency_percentile({of_range}, 0.5) as one,
                   (select count(*) from ml_guard.latency_percentiles({of_range}, array[0.5, 0.9])) as several,
                   (select count(*) from ml_guard.latency_series({of_range}, '1 hour', array[0.5])) as steps,
                   (select ml_guard.histogram_percentile(min(latency_low),
                               ml_guard.histogram_sum(latency_low, latency_counts), 0.5)
                      from ml_guard.traffic_minute_utc) as of_minutes,
                   (select cardinality(ml_guard.histogram_percentiles(latency_low, latency_counts, array[0.5, 0.9]))
                      from ml_guard.traffic_hour_utc limit 1) as of_an_hour"""
    )
    assert row["one"] == row["of_minutes"] == pytest.approx(40, rel=0.02)
    assert (row["several"], row["of_an_hour"]) == (2, 2)
    assert row["steps"] >= 30


async def test_the_login_reads_no_table(owner: asyncpg.Connection, reader: asyncpg.Connection) -> None:
    tables = await owner.fetch(
        "select relname::text as name from pg_class where relnamespace = 'ml_guard'::regnamespace and relkind = 'r'"
    )
    assert len(tables) > 20
    for row in tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"select * from ml_guard.{row['name']}")


@pytest.mark.parametrize("sql", WRITES)
async def test_the_login_changes_nothing_even_where_it_asks_to_write(
    reader: asyncpg.Connection, sql: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute(sql)


@pytest.mark.parametrize("sql", WRITES)
async def test_postgresql_itself_refuses_the_role_every_change(owner: asyncpg.Connection, sql: str) -> None:
    """Whatever a server in front does: the role's own rights are too few."""
    async with owner.transaction():
        await owner.execute(f"set local session authorization {LOGIN}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with owner.transaction():
                await owner.execute(sql)
    assert await owner.fetchval("select session_user::text") != LOGIN
