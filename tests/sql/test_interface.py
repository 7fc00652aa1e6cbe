"""Is what SQL users read described, right, and cut off from what is not theirs?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from tests.conftest import run_apart
from tests.sql.planted import COUNTRY, COUNTS, drift, plant_at, today


@pytest.fixture(scope="module")
def planted_url(module_database_url: str) -> str:
    run_apart(plant_at(module_database_url))
    return module_database_url


@pytest.fixture
async def connection(planted_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The planted rows; what a test changes is taken back."""
    connection = await asyncpg.connect(planted_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


UNCOMMENTED = """
    select 'schema' as what where obj_description('ml_guard'::regnamespace, 'pg_namespace') is null
    union all
    select 'relation ' || c.relname from pg_class c
    where c.relnamespace = 'ml_guard'::regnamespace and c.relkind in ('r', 'v', 'm', 'S', 'p')
      and obj_description(c.oid, 'pg_class') is null
    union all
    select 'column ' || c.relname || '.' || a.attname
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'ml_guard'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
      and col_description(c.oid, a.attnum) is null
    union all
    select 'function ' || p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'ml_guard'::regnamespace and obj_description(p.oid, 'pg_proc') is null
    union all
    select 'type ' || t.typname from pg_type t
    where t.typnamespace = 'ml_guard'::regnamespace and t.typtype in ('d', 'e') and obj_description(t.oid, 'pg_type') is null
"""


async def test_every_table_column_view_and_function_has_a_comment(connection: asyncpg.Connection) -> None:
    assert [row["what"] for row in await connection.fetch(UNCOMMENTED)] == []


async def test_an_uncommented_object_is_noticed(connection: asyncpg.Connection) -> None:
    await connection.execute("create table ml_guard.secret (a integer)")
    await connection.execute("create function ml_guard.secret() returns integer language sql return 1")
    found = {row["what"] for row in await connection.fetch(UNCOMMENTED)}
    assert found == {"relation secret", "column secret.a", "function ml_guard.secret()"}


async def test_every_function_that_queries_use_is_parallel_safe_and_not_volatile(
    connection: asyncpg.Connection,
) -> None:
    rows = await connection.fetch(
        """select p.oid::regprocedure::text as name from pg_proc p
           where p.pronamespace = 'ml_guard'::regnamespace and p.prokind in ('f', 'a') and p.prorettype <> 'trigger'::regtype
             and (p.proparallel <> 's' or p.provolatile = 'v')"""
    )
    assert [row["name"] for row in rows] == []


async def test_daily_bins_shows_a_row_a_bin_that_adds_up_to_the_psi(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "select * from ml_guard.daily_bins where feature = 'country' and day_start = $1 order by bin_index",
        today(),
    )
    assert [(row["bin"], row["label"]) for row in rows] == [
        ("label", "CA"),
        ("label", "US"),
        ("other", "other"),
        ("unseen", "unseen"),
        ("missing", "missing"),
    ]
    assert [row["count"] for row in rows] == COUNTS["country"].tolist()
    assert [row["baseline_share"] for row in rows] == COUNTRY.q.tolist()
    assert [row["share"] for row in rows] == [0.1, 0.7, 0.0, 0.15, 0.05]
    assert [row["points"] for row in rows] == pytest.approx([-50, 30, 0, 15, 5])
    _, found = drift("country")
    assert sum(row["contribution"] for row in rows) == pytest.approx(rows[0]["psi"], rel=1e-12)
    assert rows[0]["psi"] == found.psi
    labels = await connection.fetch(
        "select label, lower, upper from ml_guard.daily_bins where feature = 'age' and day_start = $1 order by bin_index",
        today(),
    )
    assert [tuple(row) for row in labels] == [
        ("<= 30.0", None, 30.0),
        ("(30.0, 50.5]", 30.0, 50.5),
        ("> 50.5", 50.5, None),
        ("missing", None, None),
    ]


async def test_a_feature_without_a_score_has_no_bins_and_is_still_in_daily_drift(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """insert into ml_guard.feature_day (project_id, model_id, endpoint, feature, kind, day_start, day, day_end, zone,
               revision, status, n, missing, exact, verdict)
           values ('shop', 'churn', 'predict', 'new', 'numeric', $1, $2, $3, 'UTC', 0, 'provisional', 1, 0, true,
                   'new_feature')""",
        today(),
        today().date(),
        today() + timedelta(days=1),
    )
    verdicts = await connection.fetch(
        "select feature, verdict from ml_guard.daily_drift where day_start = $1", today()
    )
    assert sorted(map(tuple, verdicts)) == [("age", "ok"), ("country", "drift"), ("new", "new_feature")]
    assert await connection.fetchval("select count(*) from ml_guard.daily_bins where feature = 'new'") == 0


async def test_the_partitions_ledger_shows_what_is_not_accounted_for(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        'select "partition", offsets_passed, difference, balanced from ml_guard.ledger_partitions order by 1'
    )
    assert [tuple(row) for row in rows] == [(0, 1003, 0, True), (1, 10, 1, False), (2, 0, 0, True)]


async def test_the_days_ledger_compares_what_was_decoded_with_what_the_sketches_hold(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """insert into ml_guard.ledger_day (project_id, day_start, shard, decoded, dead) values ('', '-infinity', 0, 5, 5)"""
    )
    rows = await connection.fetch("select * from ml_guard.ledger_days order by day_start")
    assert (rows[0]["project_id"], rows[0]["day"], rows[0]["decoded"], rows[0]["balanced"]) == (
        "",
        None,
        5,
        True,
    )
    assert {(r["decoded"], r["merged"], r["dead"], r["duplicate"], r["difference"]) for r in rows[1:]} == {
        (1006, 1000, 2, 4, 0)
    }
    await connection.execute(
        "update ml_guard.day_sketch set n = n - 7 where shard = 0 and day_start = $1", today()
    )
    lost = await connection.fetch("select day_start, difference from ml_guard.ledger_days where not balanced")
    assert [tuple(row) for row in lost] == [(today(), 7)]


async def test_events_that_only_one_side_of_the_ledger_knows_are_a_difference(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("delete from ml_guard.ledger_day where day_start = $1", today())
    assert (
        await connection.fetchval("select difference from ml_guard.ledger_days where day_start = $1", today())
        == -1000
    )


async def test_a_partition_is_running_silent_or_stopped(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        'select state, catalog_current, heartbeat_age_s > 100 as old from ml_guard.stream_status order by "partition"'
    )
    assert [tuple(row) for row in rows] == [
        ("running", True, False),
        ("silent", False, True),
        ("stopped", False, None),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "insert into ml_guard.project (project_id) values ('other')",
        "update ml_guard.project set dedupe_by_event_id = true",
        "insert into ml_guard.project_zone (project_id, effective_from, zone) values ('shop', '-infinity', 'UTC')",
        "insert into ml_guard.feature_setting (project_id, bins) values ('shop', 20)",
        "update ml_guard.baseline set active = false",
        "delete from ml_guard.project where project_id = 'shop'",
    ],
)
async def test_workers_are_told_of_every_change_that_they_must_see(
    connection: asyncpg.Connection, change: str
) -> None:
    before = await connection.fetchval("select generation from ml_guard.catalog")
    await connection.execute(change)
    assert await connection.fetchval("select generation from ml_guard.catalog") > before


async def test_a_change_that_is_rolled_back_is_not_told(connection: asyncpg.Connection) -> None:
    before = await connection.fetchval("select generation from ml_guard.catalog")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("insert into ml_guard.project (project_id) values ('other')")
    await transaction.rollback()
    assert await connection.fetchval("select generation from ml_guard.catalog") == before


async def test_a_reader_is_granted_the_views_and_no_table_of_keys(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """select c.relname as name, c.relkind::text as kind,
                  has_table_privilege('ml_guard_reader', c.oid, 'select') as read,
                  has_table_privilege('ml_guard_reader', c.oid, 'insert') as write
           from pg_class c where c.relnamespace = 'ml_guard'::regnamespace and c.relkind in ('r', 'v')"""
    )
    assert {row["name"] for row in rows if row["kind"] == "v" and not row["read"]} == set()
    assert {row["name"] for row in rows if row["kind"] == "r" and row["read"]} == set()
    assert not any(row["write"] for row in rows)


async def test_the_api_role_writes_rows_and_no_schema(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(
        """select has_table_privilege('ml_guard_api', 'ml_guard.project', 'insert') as rows,
                  has_sequence_privilege('ml_guard_api', 'ml_guard.result_change', 'usage') as numbers,
                  has_schema_privilege('ml_guard_api', 'ml_guard', 'create') as schema,
                  has_table_privilege('ml_guard_api', 'ml_guard.migration', 'insert') as migrations"""
    )
    assert tuple(row) == (True, True, False, False)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (
            """select * from ml_guard.daily_metrics where project_id = 'shop' and model_id = 'churn'
               and endpoint = 'predict' order by day_start desc limit 14""",
            "metric_day_pkey",
        ),
        ("select * from ml_guard.metric_day where change_id > 17 order by change_id", "metric_day_change"),
        (
            "select * from ml_guard.daily_drift where project_id = 'shop' and day_start = date_trunc('day', now())",
            "feature_day_order",
        ),
        (
            "select * from ml_guard.ledger_days where project_id = 'shop' and day_start >= now()",
            "day_sketch_events",
        ),
    ],
)
async def test_the_usual_questions_have_an_index(
    connection: asyncpg.Connection, query: str, index: str
) -> None:
    await connection.execute("set local enable_seqscan = off")  # there are too few rows for an index to pay
    plan = await connection.fetch(f"explain {query}")
    assert index in "\n".join(row[0] for row in plan)
