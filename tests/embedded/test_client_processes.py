"""Do several client processes share the database without an error?"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CLIENTS = 3
ROUNDS = 120
PROGRAM = Path(__file__).with_name("client_process.py")


async def test_three_processes_with_colliding_names_transactions_and_aborts(
    embedded_url: str, connect: Any
) -> None:
    client = await connect()
    await client.execute("drop table if exists public.account")
    await client.execute("create table public.account (client int, side int, amount bigint not null)")
    await client.execute(
        "insert into public.account select c, s, 0 from generate_series(0, 9) c, generate_series(0, 1) s"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), embedded_url, str(number), str(ROUNDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(CLIENTS)
    ]
    for number, process in enumerate(processes):
        out, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        stored = await client.fetchval(
            "select amount from public.account where client = $1 and side = 1", number
        )
        assert stored == json.loads(out)["committed"] > 0


async def test_a_killed_client_leaves_nothing_and_holds_nobody_up(embedded_url: str, connect: Any) -> None:
    client = await connect()
    await client.execute("drop table if exists public.killed; create table public.killed (a int)")
    program = f"""
import asyncio, asyncpg
async def main():
    c = await asyncpg.connect({embedded_url!r})
    await c.execute("begin; insert into public.killed values (1)")
    print("in transaction", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in transaction\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert await client.fetchval("select count(*) from public.killed") == 0


async def test_many_connections_work_at_once(connect: Any) -> None:
    clients = [await connect() for _ in range(30)]
    answers = await asyncio.gather(
        *(each.fetchval("select $1::int * 2", number) for number, each in enumerate(clients))
    )
    assert answers == [number * 2 for number in range(30)]
