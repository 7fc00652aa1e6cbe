"""Can a role of the database log in to the embedded server, read what it may, and get no further?"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from stream.migrate import migrate
from stream.reader import (
    LOGIN,
    SERVICES,
    LoginRefusedError,
    scram_secret,
    set_login,
    set_service_login,
)

PASSWORD = "a password with ' and $"


async def log_in(url: str, password: str = PASSWORD, user: str = LOGIN, **options: str) -> asyncpg.Connection:
    place = urlsplit(url)
    return await asyncpg.connect(
        host=place.hostname,
        port=place.port,
        database="ml_guard",
        user=user,
        password=password,
        statement_cache_size=0,
        server_settings=options,
    )


@pytest.fixture
async def owner(embedded_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(embedded_url)
    await migrate(embedded_url)
    await set_login(embedded_url, PASSWORD)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(owner: asyncpg.Connection, embedded_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await log_in(embedded_url)
    yield connection
    await connection.close()


async def test_the_secret_that_is_sent_is_what_the_server_itself_would_store(
    owner: asyncpg.Connection,
) -> None:
    await owner.execute("drop role if exists pencil; create role pencil password 'pencil'")
    stored = await owner.fetchval("select rolpassword from pg_authid where rolname = 'pencil'")
    await owner.execute("drop role pencil")
    salt = b64decode(stored.split("$")[1].split(":")[1])
    assert scram_secret("pencil", salt) == stored


async def test_a_login_works_as_itself_between_the_owners_turns(
    owner: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    for _ in range(3):
        assert await reader.fetchval("select session_user::text") == LOGIN
        assert await owner.fetchval("select session_user::text") == "postgres"
    assert await reader.fetchval("show default_transaction_read_only") == "on"
    assert await reader.fetchval("show statement_timeout") == "30s"
    assert await owner.fetchval("show default_transaction_read_only") == "off"


@pytest.mark.parametrize("password", ["", PASSWORD + " ", PASSWORD.upper(), "ml_guard"])
async def test_another_password_is_refused(
    owner: asyncpg.Connection, embedded_url: str, password: str
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(embedded_url, password)


async def test_a_new_password_replaces_the_old(owner: asyncpg.Connection, embedded_url: str) -> None:
    await set_login(embedded_url, "another")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(embedded_url)
    await (await log_in(embedded_url, "another")).close()


async def test_who_may_not_make_roles_is_told_what_to_do(
    owner: asyncpg.Connection, embedded_url: str
) -> None:
    place = urlsplit(embedded_url)
    as_reader = f"postgresql://{LOGIN}:{quote(PASSWORD, safe='')}@{place.hostname}:{place.port}/ml_guard"
    with pytest.raises(LoginRefusedError, match=r"docs/grafana\.md"):
        await set_login(as_reader, "another")
    with pytest.raises(LoginRefusedError, match="not ASCII"):
        await set_login(embedded_url, "gehïm")
    await (await log_in(embedded_url)).close()


async def test_a_role_that_may_not_log_in_is_refused(owner: asyncpg.Connection, embedded_url: str) -> None:
    await owner.execute(f"alter role {LOGIN} nologin")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(embedded_url)


async def test_a_clients_settings_do_not_make_it_another_role(
    owner: asyncpg.Connection, embedded_url: str
) -> None:
    connection = await log_in(
        embedded_url, session_authorization="postgres", role="postgres", statement_timeout="7s"
    )
    assert await connection.fetchrow("select session_user::text, current_user::text") == (LOGIN, LOGIN)
    assert await connection.fetchval("show statement_timeout") == "7s"
    await connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "reset session authorization",
        "set session authorization postgres",
        "SET Session_Authorization = 'postgres'",
        'set "session_authorization" to postgres',
        'set U&"session\\005fauthorization" to postgres',
        "select set_config('session_authorization', 'postgres', false)",
        "select set_config('jit', 'off', false), set_config('session_' || 'authorization', 'postgres', false)",
        "select pg_catalog.\"set_config\"('session_authorization', 'postgres', false)",
        "select 1; -- \r set session authorization postgres",
        "select 1 /* ; */ ; /* */ set session authorization postgres",
        "do $$ begin execute 'set session author' || 'ization postgres'; end $$",
        "prepare p as select 1",
        "discard plans",
        "set role postgres",
        "update pg_settings set setting = 'postgres' where name = 'session_authorization'",
        "create table ml_guard.another (a int)",
    ],
)
async def test_nothing_leads_back_to_the_owner(
    owner: asyncpg.Connection, reader: asyncpg.Connection, sql: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute(sql)
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.PostgresSyntaxError)):
        await reader.fetch(sql)
    assert await reader.fetchval("select current_user::text") == LOGIN
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch("select * from ml_guard.api_key")


async def test_discarding_all_leaves_it_who_it_is(reader: asyncpg.Connection) -> None:
    await reader.execute("discard all")
    assert await reader.fetchval("select session_user::text") == LOGIN


async def test_a_refused_statement_fails_the_transaction_that_it_is_in(reader: asyncpg.Connection) -> None:
    await reader.execute("begin")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may only read"):
        await reader.execute("drop table ml_guard.project")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await reader.execute("select 1")
    await reader.execute("rollback")
    assert await reader.fetchval("select 1") == 1


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_writes_rows_and_no_schema(
    owner: asyncpg.Connection, embedded_url: str, name: str
) -> None:
    await set_service_login(embedded_url, name, PASSWORD)
    service = await log_in(embedded_url, user=name)
    await service.execute(
        "insert into ml_guard.client_count (project_id, day, client_id, outcome, reason, events) "
        "values ('p', '2025-01-01', 'c', 'sent', '', 1)"
    )
    assert await service.fetchval("delete from ml_guard.client_count returning events") == 1
    for sql in (
        "alter table ml_guard.project add column a int",
        "drop table ml_guard.project",
        "with a as (select 1) select 1; create table ml_guard.another (a int)",
        "do $$ begin execute 'drop table ml_guard.project'; end $$",
        "select 1 into ml_guard.another",
        "delete from ml_guard.migration",
        "truncate ml_guard.project",
        "call ml_guard.set_policies()",
        "set session authorization postgres",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(sql)
    assert await service.fetchval("select session_user::text") == name
    await service.close()
