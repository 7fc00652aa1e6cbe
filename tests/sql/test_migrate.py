"""Does a database come to the schema safely: from empty, twice, interrupted, by two at once, from edited files?"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from stream.migrate import (
    FOLDER,
    MigrationError,
    UnsupportedServerError,
    apply_policies,
    check_server,
    migrate,
    pending,
    read,
    statements,
)

FILES = read()


@pytest.fixture
async def empty(bare_database_url: str) -> str:
    connection = await asyncpg.connect(bare_database_url)
    await connection.execute("drop schema if exists ml_guard cascade")
    await connection.close()
    return bare_database_url


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may spoil."""
    return Path(shutil.copytree(FOLDER, tmp_path / "sql"))


async def value(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_an_empty_database_gets_every_file_in_order(empty: str) -> None:
    applied = await migrate(empty)
    assert [a.number for a in applied] == [f.number for f in FILES]
    assert [a.sha256 for a in applied] == [f.sha256 for f in FILES]
    assert await value(empty, "select count(*) from ml_guard.migration") == len(FILES)


async def test_a_second_run_changes_nothing(empty: str) -> None:
    await migrate(empty)
    before = await value(empty, "select max(applied_at)::text from ml_guard.migration")
    assert await migrate(empty) == []
    assert await value(empty, "select max(applied_at)::text from ml_guard.migration") == before


async def test_two_migrators_at_once_apply_each_file_once(empty: str) -> None:
    first, second = await asyncio.gather(migrate(empty), migrate(empty))
    assert sorted(a.number for a in first + second) == [f.number for f in FILES]


async def test_a_failed_file_leaves_nothing_behind_and_the_mended_one_continues(
    empty: str, files: Path
) -> None:
    number = FILES[-1].number + 1
    added = files / f"{number:03}_added.sql"
    added.write_text("create table ml_guard.added (a integer);\nselect 1 / 0;\n")
    with pytest.raises(MigrationError, match=rf"{number:03}_added failed: division by zero"):
        await migrate(empty, files)
    assert await value(empty, "select to_regclass('ml_guard.added')") is None
    assert await value(empty, "select count(*) from ml_guard.migration") == len(FILES)
    added.write_text("create table ml_guard.added (a integer);\n")
    assert [a.number for a in await migrate(empty, files)] == [number]


async def test_a_migrator_killed_inside_a_file_leaves_nothing_of_it(empty: str, files: Path) -> None:
    await migrate(empty, files)
    number = FILES[-1].number + 1
    (files / f"{number:03}_slow.sql").write_text(
        "create table ml_guard.slow (a integer);\nselect pg_sleep(1);\ncreate table ml_guard.after (a integer);\n"
    )
    task = asyncio.create_task(migrate(empty, files))
    await _at_work(empty)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    connection = await asyncpg.connect(empty)
    try:
        row = await connection.fetchrow(
            """select (select count(*) from ml_guard.migration),
                      (select count(*) from pg_class where relnamespace = 'ml_guard'::regnamespace
                                                       and relname in ('slow', 'after'))"""
        )
    finally:
        await connection.close()
    assert row is not None
    assert tuple(row) == (len(FILES), 0)
    await migrate(empty, files)
    assert await value(empty, "select count(*) from ml_guard.migration") == len(FILES) + 1


async def _at_work(url: str) -> None:
    """Until the database, which serves one transaction after the other, makes another client wait for the file."""
    connection = await asyncpg.connect(url)
    while True:
        asked = asyncio.ensure_future(connection.execute("select"))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        if not done:
            connection.terminate()
            await asyncio.gather(asked, return_exceptions=True)
            return
        await asyncio.sleep(0)


async def test_a_file_outside_a_transaction_runs_its_statements_one_by_one_and_again(
    empty: str, files: Path
) -> None:
    number = FILES[-1].number + 1
    added = files / f"{number:03}_refreshed.sql"
    script = """-- outside a transaction: a refresh cannot run inside one
create table if not exists ml_guard.once (a integer);
call refresh_continuous_aggregate('ml_guard.traffic_hour_utc', null, null); -- semicolons; in comments
insert into ml_guard.once select 1 where not exists (select from ml_guard.once);
"""
    added.write_text(script + "select 1 / 0;\n")
    with pytest.raises(MigrationError, match="division by zero"):
        await migrate(empty, files)
    assert await value(empty, "select count(*) from ml_guard.once") == 1
    added.write_text(script)
    assert [a.number for a in await migrate(empty, files)] == [number]
    assert await value(empty, "select count(*) from ml_guard.once") == 1


async def test_an_edited_file_is_refused(empty: str, files: Path) -> None:
    await migrate(empty, files)
    edited = files / "001_registry.sql"
    edited.write_text(edited.read_text() + "\n-- edited\n")
    with pytest.raises(MigrationError, match="001_registry is not what the database has had"):
        await migrate(empty, files)


async def test_a_number_that_stands_twice_is_refused(empty: str, files: Path) -> None:
    (files / "003_other.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match="two migrations 003: other and state"):
        await migrate(empty, files)


async def test_a_file_with_a_number_that_was_left_out_is_applied_later(empty: str, files: Path) -> None:
    number = FILES[-1].number + 1
    (files / f"{number + 1:03}_later.sql").write_text("create table ml_guard.later (a integer);")
    await migrate(empty, files)
    (files / f"{number:03}_earlier.sql").write_text("create table ml_guard.earlier (a integer);")
    assert [a.number for a in await migrate(empty, files)] == [number]


async def test_a_database_of_a_newer_version_is_refused(empty: str, files: Path) -> None:
    await migrate(empty)
    last = FILES[-1]
    (files / f"{last.number:03}_{last.name}.sql").unlink()
    with pytest.raises(MigrationError, match="migrated by a newer ML Guard"):
        await migrate(empty, files)


async def test_a_misnamed_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="holds no migrations"):
        read(tmp_path)
    (tmp_path / "1_short.sql").write_text("select 1")
    with pytest.raises(MigrationError, match=r"not named NNN_name\.sql"):
        read(tmp_path)


async def test_what_is_still_to_do_can_be_asked(empty: str) -> None:
    connection = await asyncpg.connect(empty)
    try:
        assert await pending(connection) == FILES
        await migrate(empty)
        assert await pending(connection) == []
    finally:
        await connection.close()


async def test_the_schema_does_not_depend_on_a_search_path(empty: str) -> None:
    await migrate(empty)
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("set search_path = pg_catalog")
        for (view,) in await connection.fetch("select viewname from pg_views where schemaname = 'ml_guard'"):
            await connection.fetch(f'select * from ml_guard."{view}"')
        await connection.fetch(
            "select * from ml_guard.latency_percentiles('p', 'm', null, now() - interval '3 days', now(), '{0.5}')"
        )
        await connection.fetch(
            "select * from ml_guard.latency_series('p', 'm', null, now() - interval '1 day', now(), '1 hour', '{0.5}')"
        )
        await connection.execute("insert into ml_guard.project (project_id) values ('shop')")
        await connection.execute("call ml_guard.set_policies(retention_days => 90)")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("server", "version", "licence", "sentence"),
    [
        (140_010, "2.17.2", "timescale", "the server is PostgreSQL 14; ML Guard works on 15 to 17"),
        (180_000, "2.23.0", "timescale", "the server is PostgreSQL 18"),
        (170_005, "2.16.1", "timescale", "TimescaleDB 2.16.1; ML Guard needs 2.17 or later"),
        (160_004, "2.17.0", "apache", "only its Apache features"),
        (160_004, None, "", "the extension timescaledb cannot be created"),
    ],
)
async def test_a_server_that_is_too_old_or_lacks_features_is_named(
    server: int, version: str | None, licence: str, sentence: str
) -> None:
    class Server:
        async def fetchval(self, sql: str) -> object:
            return str(server)

        async def fetchrow(self, sql: str) -> dict[str, object] | None:
            return version and {"extversion": version, "nspname": "public", "licence": licence}  # type: ignore[return-value]

        async def execute(self, sql: str) -> None:
            raise asyncpg.UndefinedFileError('could not open extension control file "timescaledb.control"')

    with pytest.raises(UnsupportedServerError, match=sentence):
        await check_server(Server())  # type: ignore[arg-type]


async def test_the_server_of_the_tests_is_a_supported_one(bare_database_url: str) -> None:
    connection = await asyncpg.connect(bare_database_url)
    try:
        assert await check_server(connection)
    finally:
        await connection.close()


async def test_nothing_but_the_hours_is_dropped_unless_a_setting_asks(database_url: str) -> None:
    jobs = """select proc_name, config ->> 'drop_after' as dropped from timescaledb_information.jobs
              where proc_name in ('policy_compression', 'policy_retention', 'policy_refresh_continuous_aggregate')"""

    async def policies() -> list[tuple[str, str | None]]:
        connection = await asyncpg.connect(database_url)
        try:
            return sorted((row["proc_name"], row["dropped"]) for row in await connection.fetch(jobs))
        finally:
            await connection.close()

    kept = [("policy_compression", None)] * 3 + [("policy_refresh_continuous_aggregate", None)] * 2
    kept.append(("policy_retention", "35 days"))
    assert await policies() == kept
    await apply_policies(database_url, retention_days=400)
    assert await policies() == sorted([*kept, *[("policy_retention", "402 days")] * 5])
    await apply_policies(database_url, hours_days=14)
    assert ("policy_retention", "14 days") in await policies()
    await apply_policies(database_url, retention_days=7)
    assert ("policy_compression", None) not in await policies()
    await apply_policies(database_url)
    assert await policies() == kept
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await apply_policies(database_url, retention_days=0)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await apply_policies(database_url, hours_days=0)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("-- nothing\n;/* ; */;", []),
        ("select 1", ["select 1"]),
        ("select 'a;''b;'; select \"x;y\"", ["select 'a;''b;'", 'select "x;y"']),
        (
            "do $body$ begin; $x$ ; $x$ end $body$; select 2;",
            ["do $body$ begin; $x$ ; $x$ end $body$", "select 2"],
        ),
        ("select 1; -- it's;\nselect 2", ["select 1", "-- it's;\nselect 2"]),
    ],
)
def test_a_script_is_split_at_its_own_semicolons(script: str, expected: list[str]) -> None:
    assert statements(script) == expected
