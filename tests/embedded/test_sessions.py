"""Does one client of the shared backend notice the others? It must not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest


async def test_prepared_statements_of_the_same_name_do_not_collide(connect: Any) -> None:
    first, second = await connect(), await connect()
    mine = await first.prepare("select 'first'", name="same")
    yours = await second.prepare("select 'second', 2", name="same")
    assert await mine.fetchval() == "first"
    assert tuple(await yours.fetchrow()) == ("second", 2)
    assert await mine.fetchval() == "first"


async def test_an_error_names_a_statement_as_its_client_does(connect: Any) -> None:
    client = await connect()
    await client.execute("select 1")
    kept = await client.prepare("select 1", name="twice")
    with pytest.raises(asyncpg.DuplicatePreparedStatementError, match='"twice"'):
        await client.prepare("select 2", name="twice")
    assert await kept.fetchval() == 1


async def test_a_client_that_has_prepared_holds_nobody_up(connect: Any) -> None:
    first, second = await connect(), await connect()
    statement = await first.prepare("select 1")
    began = time.monotonic()
    assert await second.fetchval("select 2") == 2
    assert time.monotonic() - began < 2
    assert await statement.fetchval() == 1


async def test_uncommitted_rows_are_seen_by_nobody_else(connect: Any) -> None:
    writer, reader = await connect(), await connect()
    await writer.execute("drop table if exists public.unseen; create table public.unseen (a int)")
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("insert into public.unseen values (1)")
    reading = asyncio.ensure_future(reader.fetchval("select count(*) from public.unseen"))
    await asyncio.sleep(0.2)
    assert not reading.done()
    await transaction.rollback()
    assert await reading == 0


async def test_an_aborted_transaction_stays_with_its_client(connect: Any) -> None:
    broken, other = await connect(), await connect()
    await broken.execute("begin")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await broken.execute("select 1 / 0")
    waiting = asyncio.ensure_future(other.fetchval("select 'fine'"))
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await broken.execute("select 1")
    await broken.execute("rollback")
    assert await waiting == "fine"
    assert await broken.fetchval("select 1") == 1


async def test_a_set_does_not_reach_another_client(connect: Any) -> None:
    first, second = await connect(), await connect()
    await first.execute("set search_path = pg_catalog; set work_mem = '7MB'; set timezone = 'Asia/Kathmandu'")
    assert await second.fetchval("show search_path") == '"$user", public'
    assert await second.fetchval("show work_mem") == "4MB"
    assert await second.fetchval("show timezone") == "UTC"
    assert await first.fetchval("show search_path") == "pg_catalog"
    assert await first.fetchval("show work_mem") == "7MB"
    assert await first.fetchval("show timezone") == "Asia/Kathmandu"


async def test_what_a_prepared_statement_sets_does_not_reach_another_client(connect: Any) -> None:
    first, second = await connect(), await connect()
    assert await first.fetchval("select set_config('work_mem', $1, false)", "6MB") == "6MB"
    assert await second.fetchval("show work_mem") == "4MB"
    assert await first.fetchval("show work_mem") == "6MB"


async def test_a_rolled_back_set_is_undone(connect: Any) -> None:
    client = await connect()
    await client.execute("begin; set work_mem = '9MB'")
    assert await client.fetchval("show work_mem") == "9MB"
    await client.execute("rollback")
    assert await client.fetchval("show work_mem") == "4MB"


async def test_a_role_does_not_reach_another_client(connect: Any) -> None:
    first, second = await connect(), await connect()
    await first.execute("set role pg_read_all_data")
    assert await second.fetchval("select current_user") == "postgres"
    assert await first.fetchval("select current_user") == "pg_read_all_data"
    await first.execute("reset role")
    assert await first.fetchval("select current_user") == "postgres"


async def test_a_pools_reset_keeps_tables_visible_and_start_settings(embedded_url: str, connect: Any) -> None:
    other = await connect()
    await other.execute("drop table if exists public.visible; create table public.visible (a int)")
    settings = {"timezone": "America/Toronto", "lock_timeout": "3s"}
    async with asyncpg.create_pool(embedded_url, min_size=1, max_size=1, server_settings=settings) as pool:
        async with pool.acquire() as client:
            await client.execute("set search_path = pg_catalog; set timezone = 'UTC'")
        assert await pool.fetchval("select count(*) from visible") == 0
        assert await pool.fetchval("show timezone") == "America/Toronto"
        assert await pool.fetchval("show lock_timeout") == "3s"
    assert await other.fetchval("select count(*) from visible") == 0


async def test_reset_inside_a_transaction_gives_the_clients_own_settings(connect: Any) -> None:
    client = await connect(server_settings={"timezone": "Pacific/Chatham"})
    await client.execute("drop table if exists public.inside; create table public.inside (a int)")
    async with client.transaction():
        await client.execute("set search_path = pg_catalog; reset all")
        assert await client.fetchval("select count(*) from inside") == 0
        assert await client.fetchval("show timezone") == "Pacific/Chatham"
    assert await client.fetchval("show timezone") == "Pacific/Chatham"


async def test_discarding_all_discards_only_ones_own(connect: Any) -> None:
    first, second = await connect(), await connect()
    mine, yours = await first.prepare("select 1", name="kept"), await second.prepare("select 2", name="gone")
    await second.execute("set work_mem = '8MB'")
    await second.execute("discard all")
    assert await mine.fetchval() == 1
    assert await second.fetchval("show work_mem") == "4MB"
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        await yours.fetchval()


async def test_deallocating_by_name_or_all_drops_only_ones_own(connect: Any) -> None:
    first, second = await connect(), await connect()
    mine, yours = await first.prepare("select 1", name="one"), await second.prepare("select 2", name="one")
    await second.execute('deallocate "one"')
    assert await mine.fetchval() == 1
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        await yours.fetchval()
    await second.execute("deallocate all")
    assert await mine.fetchval() == 1


async def test_a_notification_reaches_those_who_listen_and_nobody_else(connect: Any) -> None:
    sender, listener, other = await connect(), await connect(), await connect()
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    unwanted: list[str] = []
    await listener.add_listener(
        "news", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload))
    )
    await other.add_listener("weather", lambda _c, _pid, _channel, payload: unwanted.append(payload))
    async with sender.transaction():
        await sender.execute("notify news, 'hello'")
        await sender.execute("notify weather_report, 'rain'")
        assert heard.empty()
    assert await asyncio.wait_for(heard.get(), 5) == ("news", "hello")
    assert await other.fetchval("select 1") == 1
    assert unwanted == []


async def test_one_clients_unlisten_leaves_the_others_listening(connect: Any) -> None:
    sender, listener, leaver = await connect(), await connect(), await connect()
    heard: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener("shared", lambda _c, _pid, _channel, payload: heard.put_nowait(payload))
    await leaver.execute("listen shared")
    await leaver.execute("unlisten *")
    await sender.execute("select pg_notify('shared', 'still here')")
    assert await asyncio.wait_for(heard.get(), 5) == "still here"


async def test_a_client_that_idles_in_a_transaction_is_ended_after_its_own_limit(connect: Any) -> None:
    frozen = await connect(server_settings={"idle_in_transaction_session_timeout": "300ms"})
    other = await connect()
    await other.execute("drop table if exists public.frozen; create table public.frozen (a int)")
    await frozen.execute("begin; insert into public.frozen values (1)")
    began = time.monotonic()
    assert await other.fetchval("select count(*) from public.frozen") == 0
    assert 0.1 < time.monotonic() - began < 5
    with pytest.raises(
        (
            asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError,
            asyncpg.IdleInTransactionSessionTimeoutError,
        )
    ):
        await frozen.execute("commit")


async def test_whoever_waits_gives_up_after_its_lock_timeout(connect: Any) -> None:
    holder, waiter = await connect(), await connect(server_settings={"lock_timeout": "200ms"})
    await holder.execute("begin")
    began = time.monotonic()
    with pytest.raises(asyncpg.LockNotAvailableError):
        await waiter.execute("select 1")
    assert 0.15 < time.monotonic() - began < 5
    await holder.execute("commit")
    assert await waiter.fetchval("select 1") == 1


async def test_a_statement_of_a_busy_client_is_not_a_lock_that_others_wait_for(connect: Any) -> None:
    busy, waiter = await connect(), await connect(server_settings={"lock_timeout": "50ms"})
    slow = asyncio.ensure_future(busy.fetchval("select count(*) from generate_series(1, 1000000)"))
    await asyncio.sleep(0.02)
    assert await waiter.fetchval("select 1") == 1
    assert await slow == 1_000_000


async def test_a_client_that_leaves_in_a_transaction_is_rolled_back(connect: Any) -> None:
    leaver, other = await connect(), await connect()
    await other.execute("drop table if exists public.left_over; create table public.left_over (a int)")
    await leaver.execute("begin; set work_mem = '5MB'; insert into public.left_over values (1)")
    leaver.terminate()
    assert await other.fetchval("select count(*) from public.left_over") == 0
    assert await other.fetchval("show work_mem") == "4MB"
