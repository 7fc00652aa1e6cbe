"""Is a row that the database acknowledged there after the server was killed?"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
from typing import Any

import asyncpg
import pytest

from embedded.downloads import DATABASE_DIR

ROWS_BEFORE_THE_KILL = (50, 500)


async def _write_until_killed(url: str, first: int, acknowledged: list[int]) -> None:
    """Inserts numbers one by one, and notes each that was acknowledged."""
    connection = await asyncpg.connect(url)
    with contextlib.suppress(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
        for number in itertools.count(first):
            await connection.execute("insert into public.written values ($1, $2)", number, bytes(2000))
            acknowledged.append(number)


async def _numbers(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row["a"] for row in await connection.fetch("select a from public.written order by a")]
    finally:
        await connection.close()


async def test_every_acknowledged_row_survives_kill_9_of_the_server(server: Any) -> None:
    part = server.start()
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table public.written (a int primary key, b bytea)")
    await connection.close()
    first = 0
    for at_least in ROWS_BEFORE_THE_KILL:
        acknowledged: list[int] = []
        writing = asyncio.ensure_future(_write_until_killed(server.url, first, acknowledged))
        async with asyncio.timeout(30):
            while len(acknowledged) < at_least:
                await asyncio.sleep(0.01)
        part.kill()
        await asyncio.wait_for(writing, 10)
        part = await asyncio.to_thread(server.start)
        numbers = await _numbers(server.url)
        # The statement that was running may have been committed without its answer having arrived.
        last = acknowledged[-1]
        assert numbers in (list(range(last + 1)), list(range(last + 2)))
        first = numbers[-1] + 1


async def test_a_warm_restart_keeps_data_and_community_features(server: Any) -> None:
    part = server.start()
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table public.kept (at timestamptz not null, a int)")
    await connection.execute("select create_hypertable('public.kept', 'at')")
    await connection.execute(
        "insert into public.kept select now() - g * interval '1 hour', g from generate_series(1, 50) g"
    )
    part.stop()
    assert part.exit_code == 0
    assert not server.data.with_name("database.lock").exists()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError)):
        await connection.fetchval("select 1")
    server.start()
    connection = await asyncpg.connect(server.url)
    assert await connection.fetchval("select count(*) from kept") == 50
    await connection.execute("alter table public.kept set (timescaledb.compress)")
    assert await connection.fetchval("select count(compress_chunk(c)) from show_chunks('public.kept') c") > 0
    assert await connection.fetchval("select sum(a) from kept") == 1275
    await connection.close()


def test_a_folder_in_use_is_not_opened_twice(server: Any) -> None:
    part = server.start()
    second = subprocess.run(
        ["node", str(DATABASE_DIR / "server.mjs"), "--data", str(server.data)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode != 0
    assert f"in use by process {part.pid}" in second.stderr


async def test_a_frozen_client_loses_its_transaction(server: Any) -> None:
    """A stopped process keeps its connection open: only the clock can end its transaction."""
    server.start("--idle-limit-ms", "300")
    setup = await asyncpg.connect(server.url)
    await setup.execute("create table public.held (a int)")
    program = f"""
import asyncio, asyncpg
async def main():
    c = await asyncpg.connect({server.url!r})
    await c.execute("begin; insert into public.held values (1)")
    print("in transaction", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in transaction\n"
        process.send_signal(signal.SIGSTOP)
        assert await asyncio.wait_for(setup.fetchval("select count(*) from public.held"), 10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        await setup.close()


async def test_a_statement_that_never_ends_ends_the_server_and_nothing_is_lost(server: Any) -> None:
    part = server.start("--longest-statement-ms", "1000")
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table public.before as select 1 as a")
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await connection.execute("do $$ begin loop end loop; end $$", timeout=30)
    part.wait_until(lambda: part.exit_code is not None, 10)
    assert part.exit_code == -signal.SIGKILL
    assert "cannot be interrupted" in part.last_lines
    server.start()
    connection = await asyncpg.connect(server.url)
    assert await connection.fetchval("select a from before") == 1
    await connection.close()


async def test_a_trap_in_the_backend_ends_the_server_with_its_reason(server: Any) -> None:
    part = server.start()
    connection = await asyncpg.connect(server.url)
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await connection.execute(f"select '{'[' * 100_000}{']' * 100_000}'::json")
    part.wait_until(lambda: part.exit_code is not None, 10)
    assert part.exit_code == 70
    assert "the database backend failed" in server.log.read_text()
    server.start()
