"""One client of many: works on the database with names that every other client uses too, and checks what it reads.

    python client_process.py URL CLIENT ROUNDS

Each client moves money between its own two accounts in transactions, some of which it aborts. Ends with a line of
JSON that says what it committed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

import asyncpg


async def work(url: str, client: int, rounds: int) -> int:
    chance = random.Random(client)
    committed = 0
    async with asyncpg.create_pool(
        url,
        min_size=2,
        max_size=2,
        server_settings={"application_name": f"client {client}", "work_mem": f"{client + 4}MB"},
    ) as pool:
        for number in range(rounds):
            async with pool.acquire() as connection:
                same_name = await connection.prepare(
                    f"select {client} * $1::bigint", name=f"same_name_{number}"
                )
                assert await same_name.fetchval(number) == client * number
                assert await connection.fetchval("show work_mem") == f"{client + 4}MB"
                transaction = connection.transaction()
                await transaction.start()
                moved = chance.randint(1, 9)
                await connection.execute(
                    "update public.account set amount = amount - $2 where client = $1 and side = 0",
                    client,
                    moved,
                )
                await connection.execute(
                    "update public.account set amount = amount + $2 where client = $1 and side = 1",
                    client,
                    moved,
                )
                kind = number % 4
                if kind == 0:
                    await transaction.rollback()
                elif kind == 1:
                    try:
                        await connection.execute("select 1 / 0")
                    except asyncpg.DivisionByZeroError:
                        await transaction.rollback()
                else:
                    await transaction.commit()
                    committed += moved
                assert (
                    await connection.fetchval(
                        "select sum(amount)::bigint from public.account where client = $1", client
                    )
                    == 0
                )
    return committed


if __name__ == "__main__":
    total = asyncio.run(asyncio.wait_for(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), 60))
    print(json.dumps({"committed": total}))
