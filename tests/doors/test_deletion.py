"""Does a deleted project leave whole, and does nothing bring it back: no worker's memory, no leader, no cached key?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from stream.closing.capture import capture
from stream.store.deletion import delete_project, tables
from stream.store.lease import CLOSER, LeaseLostError, fence, take
from tests.api.conftest import Door, result_of
from tests.closing.test_scores import bin_vector
from tests.ingest.conftest import Bench, MakeBench, add_project, event, make_bench
from tests.ingest.product import MODEL, MONDAY, ZONE, in_toronto, local

__all__ = ["make_bench"]

BY_COLUMN = {
    "kind": "'numeric'", "outcome": "'sent'", "state": "'open'", "status": "'provisional'", "hour": "1",
    "condition": "'drift'", "news": "'opened'", "severity": "'info'", "currency": "'USD'",
    "day": "'2025-01-06'", "zone": "'UTC'",
}  # fmt: skip
BY_TYPE = {
    "text": "'x'", "text[]": "'{}'", "jsonb": "'{}'", "bytea": "'x'", "boolean": "false", "date": "'2025-01-06'",
    "timestamp with time zone": "'2025-01-06'", "date[]": "'{2025-01-06}'",
}  # fmt: skip
COLUMNS = """
select c.table_name, c.column_name, pg_catalog.format_type(a.atttypid, null) as type
from information_schema.columns c
join information_schema.tables t using (table_schema, table_name)
join pg_catalog.pg_attribute a
    on a.attrelid = format('%I.%I', c.table_schema, c.table_name)::regclass and a.attname = c.column_name
where c.table_schema = 'ml_guard' and c.is_identity = 'NO' and t.table_type = 'BASE TABLE' and (
    c.column_name = 'project_id' or (c.is_nullable = 'NO' and c.column_default is null))
order by c.table_name, c.ordinal_position
"""


async def plant(connection: asyncpg.Connection, project: str) -> list[str]:
    """A row of the project in every table that has a column `project_id`, as the catalog of the database has them."""
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(COLUMNS):
        name = row["column_name"]
        plain = "'{}'" if row["type"].endswith("[]") else "1"
        value = BY_COLUMN.get(name) or BY_TYPE.get(row["type"], plain)
        if row["type"] == "text" and name.endswith("_id") and name != "project_id":
            value = f"'{project}-{name}'"
        if name == "project_id":
            value = f"'{project}'"
        found.setdefault(row["table_name"], {})[name] = value
    waiting = {table: values for table, values in found.items() if "project_id" in values}
    if "dead_letter" in waiting:
        waiting["dead_letter"]["offset"] = str(len(project))
    planted: list[str] = []
    while waiting:
        before = len(planted)
        for table, values in list(waiting.items()):
            columns = ", ".join(f'"{name}"' for name in values)
            try:
                await connection.execute(
                    f"insert into ml_guard.{table} ({columns}) values ({', '.join(values.values())})"
                )
            except asyncpg.ForeignKeyViolationError:
                continue  # what it refers to comes first
            planted.append(table)
            del waiting[table]
        assert len(planted) > before, waiting
    return planted


async def rows_of(connection: asyncpg.Connection, project: str) -> dict[str, int]:
    """How many rows each table has of the project."""
    found = await connection.fetch(
        """select table_name from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'ml_guard' and column_name = 'project_id' and table_type = 'BASE TABLE'"""
    )
    return {
        row["table_name"]: await connection.fetchval(
            f"select count(*) from ml_guard.{row['table_name']} where project_id = $1", project
        )
        for row in found
    }


@pytest.fixture
async def connection(module_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(module_database_url)
    yield made
    await made.close()


async def test_every_table_is_emptied_of_the_project_and_of_no_other(connection: asyncpg.Connection) -> None:
    planted = {name: await plant(connection, name) for name in ("gone", "stays")}
    assert set(planted["gone"]) == set(await tables(connection)) == set(await rows_of(connection, "gone"))
    assert set((await rows_of(connection, "gone")).values()) == {1}
    receipt = await delete_project(connection, "gone", deleted_by="k", topics={"t": None})
    assert receipt is not None
    assert set((await rows_of(connection, "gone")).values()) == {0}
    assert set((await rows_of(connection, "stays")).values()) == {1}
    assert {table for table, rows in receipt.rows.items() if rows} >= set(planted["gone"]) - {
        "baseline_feature"
    }
    kept = await connection.fetchrow("select * from ml_guard.deletion_receipt where project = 'gone'")
    assert kept is not None
    assert json.loads(kept["rows"]) == receipt.rows
    assert await delete_project(connection, "gone", deleted_by="k", topics={}) is None


async def test_a_worker_with_its_events_in_memory_does_not_bring_it_back(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench()
    await worker.claim()
    worker.logs.append(0, *[event() for _ in range(5)])
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 5
    worker.logs.append(0, *[event() for _ in range(7)])
    await worker.read(0)  # in memory, beside the state of the first five
    async with worker.pool.acquire() as connection:
        await delete_project(connection, "p", deleted_by="k", topics={})
    assert await worker.checkpoint(0) == [False]
    await worker.settle()
    assert "p" in worker.catalog.projects  # it has not heard of it
    await worker.read(0)
    assert await worker.checkpoint(0) == [False]
    async with worker.pool.acquire() as connection:
        assert set((await rows_of(connection, "p")).values()) == {0}
    await worker.catalog.poll()
    await worker.settle()
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    assert [letter.reason for letter in worker.dead.letters] == ["unknown_project"] * 7
    async with worker.pool.acquire() as connection:
        assert set((await rows_of(connection, "p")).values()) == {0}
    assert await worker.ledger() == [("", 7, 7, 0)]
    assert await worker.value("select count(*) from ml_guard.ledger_days where not balanced") == 0
    assert await worker.value("select count(*) from ml_guard.ledger_partitions where not balanced") == 0


async def test_a_project_made_anew_under_the_name_begins_at_nothing(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench()
    await worker.claim()
    worker.logs.append(0, *[event() for _ in range(5)])
    await worker.read(0)
    await worker.checkpoint(0)
    async with worker.pool.acquire() as connection:
        await delete_project(connection, "p", deleted_by="k", topics={})
    await add_project(worker.pool, "p")
    await worker.catalog.poll()
    worker.logs.append(0, *[event() for _ in range(3)])
    while await worker.events() != 3:  # its memory of the five goes with the claim
        await worker.settle()
        await worker.read(0)
        await worker.checkpoint(0)
        assert await worker.events() in (0, 3)


async def test_a_leader_that_has_read_before_writes_nothing_after(connection: asyncpg.Connection) -> None:
    await connection.execute("insert into ml_guard.project (project_id) values ('led')")
    await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
    lease = await take(connection, CLOSER, "leader", timedelta(hours=1))
    assert lease is not None
    await delete_project(connection, "led", deleted_by="k", topics={})
    with pytest.raises(LeaseLostError):
        async with connection.transaction():
            await fence(connection, lease)


async def count_traffic(door: Door, project: str) -> int:
    connection = await asyncpg.connect(door.settings.database_url)
    try:
        return int(
            await connection.fetchval(
                "select count(*) from ml_guard.traffic_hour_utc where project_id = $1", project
            )
        )
    finally:
        await connection.close()


def test_the_api_deletes_on_confirmation_only_and_leaves_a_receipt(door: Door) -> None:
    project, other = door.project(), door.project()
    door.sql(
        """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
        values ($1, 'm', 'e', date_trunc('hour', now()) - interval '3 hours', 0, 4)""",
        project,
    )
    own, shared = door.key(["read"], [project]), door.key(["admin"], [project, other])
    begun = datetime.now(UTC)
    with door.client(shared) as client:
        assert client.get("/models").is_success
        for wrong in (None, other, project.upper()):
            params: dict[str, Any] = {} if wrong is None else {"confirm": wrong}
            refused = client.delete(f"/projects/{project}", params=params)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert client.get(f"/projects/{project}").is_success
        receipt = client.delete(f"/projects/{project}", params={"confirm": project}).raise_for_status().json()
        assert client.get(f"/projects/{project}").json()["code"] == "unknown_project"
        assert client.get("/keys/current").json()["project_ids"] == [other]
        again = client.delete(f"/projects/{project}", params={"confirm": project})
        assert again.json()["code"] == "unknown_project"
        sent = client.post("/events", json={"project_id": project, "model_id": "m"})
        assert sent.json()["code"] == "unknown_project"
    with door.client(own) as client:
        assert client.get("/keys/current").status_code == 401
    rows = {row["table"]: row["rows"] for row in receipt["rows"]}
    assert rows == {"api_key": 1, "project": 1, "project_zone": 1, "traffic_minute": 1}
    week = timedelta(days=7)  # the broker's own default
    for kept in receipt["kafka"]:
        until = datetime.fromisoformat(kept["until"])
        assert begun + week <= until <= datetime.now(UTC) + week
    assert {kept["topic"] for kept in receipt["kafka"]} == {door.settings.topic, door.settings.dead_topic}
    assert result_of(count_traffic(door, project)) == 0


async def test_a_baseline_of_a_project_made_anew_is_not_taken_for_the_former_of_its_number(
    make_bench: MakeBench,
) -> None:
    """Both are version 1, and the worker has the former's bins in memory."""
    async with in_toronto(make_bench, local(MONDAY)) as product:
        worker, tuesday = product.worker, MONDAY + timedelta(days=1)
        for shift in (0.0, 40.0):
            await product.folds(MONDAY, shift=shift)
            await product.closes(MONDAY)
            made = await capture(worker.pool, *MODEL, [MONDAY], captured_by="test")
            await worker.catalog.poll()
            values = (await product.folds(tuesday, shift=shift))["amount"]
            await product.rolls()
            (frozen,) = (feature for feature in made.features if feature.feature == "amount")
            row = (await product.rows(tuesday))["amount"]
            assert (row["baseline_version"], row["method"]) == (1, "counters")
            assert [one["count"] for one in row["bins"]] == bin_vector(frozen, values, len(values)).tolist()
            async with worker.pool.acquire() as connection:
                await delete_project(connection, "w", deleted_by="k", topics={})
            await worker.catalog.poll()
            await add_project(worker.pool, "w", ZONE)
            await worker.catalog.poll()
            await worker.claim()
            product.lease = await product.leads()


async def delete_behind_its_back(door: Door, project: str) -> None:
    connection = await asyncpg.connect(door.owners_url)
    try:
        assert await delete_project(connection, project, deleted_by="k", topics={}) is not None
    finally:
        await connection.close()


def test_an_api_that_has_not_heard_of_the_deletion_writes_nothing_of_the_project(door: Door) -> None:
    """No row, and no key either, which would open a project that somebody else makes under the name."""
    gone, stays = door.project(), door.project()
    model = {"project_id": gone, "model_id": "m"}
    policy = {"name": "x", "condition": "drift", "project_id": gone}
    costs = {"project_id": gone, "tags": {"team": ["a"]}}
    day = datetime.now(UTC).date().isoformat()
    counted = [
        {"project_id": name, "day": day, "outcome": "sent", "events": 5, "reason": ""}
        for name in (gone, stays)
    ]
    with door.client() as client:
        assert client.post(
            "/events", json=model
        ).is_success  # from now on it believes that there is a project
        result_of(delete_behind_its_back(door, gone))
        answers = [
            client.post("/keys", json={"name": "x", "scopes": ["read"], "project_ids": [stays, gone]}),
            client.put("/alert-policies", json=policy),
            client.put("/feature-settings", json={"project_id": gone, "bins": 5}),
            client.put("/costs/filter", json=costs),
        ]
        assert [answer.json().get("code") for answer in answers] == ["unknown_project"] * 4
        report = {"client_id": "client-0001", "counts": counted}
        assert client.post("/client-counts", json=report).json() == {"counts": 1, "unknown_projects": [gone]}
    assert door.sql("select from ml_guard.client_count where project_id = $1", stays) != []
    assert door.sql("select from ml_guard.api_key where $1 = any(project_ids)", gone) == []
    for table in ("client_count", "alert_policy", "feature_setting", "cost_filter"):
        assert door.sql(f"select from ml_guard.{table} where project_id = $1", gone) == []
