"""Does the embedded database look after itself? Its folder stays small and due jobs run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg

ROWS = 500
ROUNDS = 120
MEGABYTE = 1024 * 1024


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_the_folder_does_not_grow_under_a_steady_load_of_rewrites(server: Any) -> None:
    server.start("--upkeep-interval-ms", "50")
    connection = await asyncpg.connect(server.url)
    await connection.execute(
        "create table public.hot (at timestamptz not null, k int not null, b bytea not null, primary key (at, k))"
    )
    await connection.execute("select create_hypertable('public.hot', 'at')")
    await connection.execute("alter table public.hot alter column b set storage external")

    async def rewrite(rounds: int) -> int:
        for number in range(rounds):
            await connection.execute(
                """insert into public.hot
                   select '2026-01-01', k, $2 from unnest($1::int[]) k on conflict (at, k) do update set b = excluded.b""",
                list(range(ROWS)),
                bytes([number % 256]) * 2500,
            )
        return folder_size(server.data)

    settled = await rewrite(ROUNDS)  # 150 MB of rewrites: more than two checkpoints apart
    later = await rewrite(ROUNDS)
    await connection.close()
    assert later < settled + 16 * MEGABYTE, f"{settled / MEGABYTE:.0f} MB, later {later / MEGABYTE:.0f} MB"


async def test_due_jobs_run_and_a_failing_one_stops_nothing(server: Any) -> None:
    server.start("--upkeep-interval-ms", "50", "--first-job-delay-ms", "100")
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table public.ran (job int)")
    await connection.execute(
        "create procedure public.note(job_id int, config jsonb) language sql as 'insert into public.ran values (job_id)'"
    )
    await connection.execute(
        "create procedure public.fail(job_id int, config jsonb) language plpgsql as 'begin raise exception $$no$$; end'"
    )
    failing = await connection.fetchval("select add_job('public.fail', '1 day')")
    job = await connection.fetchval("select add_job('public.note', '200 milliseconds')")
    async with asyncio.timeout(15):
        while await connection.fetchval("select count(*) from public.ran where job = $1", job) < 3:
            await asyncio.sleep(0.05)
    await connection.close()
    log = server.log.read_text()
    assert f"[{failing}] failed: no" in log
    assert "elemetry" not in log


async def test_the_aggregates_policy_refreshes_them(server: Any) -> None:
    server.start("--upkeep-interval-ms", "50", "--first-job-delay-ms", "100")
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table public.point (at timestamptz not null, v int)")
    await connection.execute("select create_hypertable('public.point', 'at')")
    await connection.execute(
        """create materialized view public.hourly with (timescaledb.continuous, timescaledb.materialized_only = true) as
           select time_bucket('1 hour', at) as hour, sum(v) as total from public.point group by 1 with no data"""
    )
    await connection.execute("insert into public.point select now() - interval '5 hours', 7")
    assert await connection.fetchval("select sum(total) from public.hourly") is None
    await connection.execute(
        """select add_continuous_aggregate_policy(
               'public.hourly', '2 days', '1 hour', schedule_interval => '1 second'::interval)"""
    )
    async with asyncio.timeout(15):
        while await connection.fetchval("select sum(total) from public.hourly") != 7:
            await asyncio.sleep(0.05)
    await connection.close()
