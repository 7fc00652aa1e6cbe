"""Does the embedded database speak PostgreSQL's protocol as clients expect it?"""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import subprocess
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

SSL_REQUEST = struct.pack("!II", 8, 80877103)


def psql(url: str, *statements: str) -> subprocess.CompletedProcess[str]:
    commands = [part for statement in statements for part in ("-c", statement)]
    return subprocess.run(
        ["psql", "--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", *commands, url],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def open_socket(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), timeout=10)


def test_psql_works(embedded_url: str) -> None:
    done = psql(embedded_url, "select 1 + 1", "show search_path", "select current_setting('enable_seqscan')")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["2", '"$user", public', "on"]


def test_psql_describes_tables_and_copies(embedded_url: str) -> None:
    psql(
        embedded_url, "drop table if exists public.described", "create table public.described (a int, b text)"
    )
    assert "described" in psql(embedded_url, r"\dt public.described").stdout
    copied = subprocess.run(
        ["psql", "--no-psqlrc", "-At", "-c", "copy public.described from stdin", embedded_url],
        input="1\tone\n2\ttwo\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert copied.stdout.strip() == "COPY 2"
    assert psql(embedded_url, "copy public.described to stdout").stdout == "1\tone\n2\ttwo\n"


def test_encryption_is_declined_and_the_client_goes_on(embedded_url: str) -> None:
    with open_socket(embedded_url) as client:
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"N"


def test_a_packet_that_is_no_startup_packet_ends_only_its_own_connection(embedded_url: str) -> None:
    with open_socket(embedded_url) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"08P01" in client.recv(1000)
    assert psql(embedded_url, "select 1").stdout == "1\n"


async def test_a_wrong_password_is_refused(embedded_url: str) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(embedded_url.replace(":ml_guard@", ":wrong@"))


async def test_another_database_does_not_exist(embedded_url: str) -> None:
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(embedded_url.rpartition("/")[0] + "/other")


async def test_a_setting_that_does_not_exist_ends_the_login_with_its_name(
    embedded_url: str, connect: Any
) -> None:
    with pytest.raises(asyncpg.PostgresError, match="no_such_setting"):
        await asyncpg.connect(embedded_url, server_settings={"no_such_setting": "1"})
    assert await (await connect()).fetchval("show search_path") == '"$user", public'


async def test_a_statement_that_fails_leaves_its_connection_usable(connect: Any) -> None:
    client = await connect()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await client.fetchval("select 1 / $1::int", 0)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await client.fetchval("sellect 1")
    assert await client.fetchval("select $1::int", 3) == 3


async def test_the_unnamed_statement_may_be_prepared_again_and_again(connect: Any) -> None:
    client = await connect(statement_cache_size=0)
    assert [await client.fetchval("select $1::int", number) for number in range(5)] == list(range(5))


async def test_copy_in_text_and_binary_and_out(connect: Any) -> None:
    client = await connect()
    await client.execute("drop table if exists public.copied; create table public.copied (a int, b text)")
    await client.copy_records_to_table("copied", records=[(number, str(number)) for number in range(20_000)])
    await client.copy_to_table("copied", source=io.BytesIO(b"-1\tx\n"), format="text")
    out = io.BytesIO()
    await client.copy_from_query("select a, b from public.copied where a < 1 order by a", output=out)
    assert out.getvalue() == b"-1\tx\n0\t0\n"
    assert await client.fetchval("select count(*) from copied") == 20_001


async def test_a_copy_that_fails_inserts_nothing_and_the_connection_goes_on(connect: Any) -> None:
    client = await connect()
    await client.execute("drop table if exists public.failing; create table public.failing (a int)")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await client.copy_to_table("failing", source=io.BytesIO(b"1\nnot a number\n"), format="text")
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.copy_to_table("not_there", source=io.BytesIO(b"1\n"), format="text")
    assert await client.fetchval("select count(*) from failing") == 0


async def test_copy_takes_part_in_a_transaction(connect: Any) -> None:
    client = await connect()
    await client.execute("drop table if exists public.undone; create table public.undone (a int)")
    transaction = client.transaction()
    await transaction.start()
    await client.copy_records_to_table("undone", records=[(1,), (2,)])
    assert await client.fetchval("select count(*) from undone") == 2
    await transaction.rollback()
    assert await client.fetchval("select count(*) from undone") == 0


async def test_copy_by_a_prepared_statement_is_refused_and_the_connection_goes_on(connect: Any) -> None:
    client = await connect()
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await client.fetch("copy pg_class from stdin")
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await client.execute("select 1; copy pg_class from stdin")
    assert await client.fetchval("select 1") == 1


async def test_a_large_result_and_a_large_value_arrive_whole(connect: Any) -> None:
    client = await connect()
    rows = await client.fetch("select g, repeat('x', 100) as t from generate_series(1, 100000) g")
    assert len(rows) == 100_000
    assert sum(row["g"] for row in rows) == 5_000_050_000
    value = bytes(range(256)) * 80_000
    assert await client.fetchval("select $1::bytea", value) == value


async def test_a_cursor_reads_in_portions(connect: Any) -> None:
    client = await connect()
    async with client.transaction():
        assert [row[0] async for row in client.cursor("select generate_series(1, 95)", prefetch=10)] == list(
            range(1, 96)
        )


async def test_a_waiting_statement_can_be_cancelled(connect: Any) -> None:
    holder, waiter = await connect(), await connect()
    transaction = holder.transaction()
    await transaction.start()
    with pytest.raises(TimeoutError):
        await waiter.fetchval("select 1", timeout=0.2)
    await transaction.rollback()
    assert await waiter.fetchval("select 2") == 2


async def test_statements_of_psql_and_pools_interleave(embedded_url: str, connect: Any) -> None:
    client = await connect()
    texts = await asyncio.gather(
        *(asyncio.to_thread(psql, embedded_url, f"select {number}") for number in range(5))
    )
    assert [text.stdout.strip() for text in texts] == [str(number) for number in range(5)]
    assert await client.fetchval("select 5") == 5
