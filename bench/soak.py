"""Does everything together hold out for an hour?

`python -m bench.soak --minutes 60` sends 20,000 events a second past three workers, of which two are killed in turn by
kill -9, one every two minutes. The API is read, followed and written through, the dashboard is opened, models have
baselines, and a project's midnight falls into the run where a zone has one. In the end the counts must be exact, both
ledgers balance, closed days hold what they should, and no process may have grown (`bench/holdings.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import asyncpg
import httpx
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console

from bench.events import MODELS, Expected, ModelDay, Series, added, make_projects, produce
from bench.fleet import Fleet
from bench.holdings import Holdings, Watched
from bench.observed import differences, imbalances, observe
from bench.own_stack import own_stack
from bench.soak_result import OK, Soak, report
from bench.soak_use import KEY, TRICKLE, TRICKLE_S, ask, follow, send_through_the_bridge, visit
from embedded.process import free_port

RATE = 20_000
KILL_EVERY_S = 120.0
PARTITIONS = 4
DAY_MS = 86_400_000
HISTORY = 20_000
"""Events of a time between three and two days before, over which the baselines are captured."""
TICK_S = 0.1
MOST = 12_000
"""Events in flight at most, so that a producer that was held up sends on in bearable lots."""
PACKED_BYTES = 1_048_576
CHUNK = 2_000_000
WATCH_S, TELL_S = 5.0, 60.0
LAST_LINES = 12
CLOSING = timedelta(minutes=2)
TROUBLES = (OSError, TimeoutError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Run:
    """The programs of a run, and what is done to them."""

    def __init__(self, fleet: Fleet, parts: dict[str, int], data: Path, options: Options) -> None:
        self.fleet, self.options, self.result = fleet, options, Soak()
        self.holdings = Holdings(data)
        self.broker_and_database = [Watched(name, pid) for name, pid in parts.items()]
        self.workers: dict[str, Watched] = {}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        begin = datetime.now(UTC)
        zone = zone_with_midnight_in(begin, timedelta(seconds=options.seconds))
        zones = {"soak_a": "America/Toronto", "soak_b": zone or "Asia/Kathmandu"}
        now_ms = int(begin.timestamp() * 1000)
        self.history = Series(zones, now_ms - 3 * DAY_MS, 1000 * DAY_MS // HISTORY)
        self.zones = zones

    async def __call__(self) -> Soak:
        fleet, result = self.fleet, self.result
        await make_projects(fleet.database_url, {**self.zones, "soak_bridge": "UTC"})
        for name in ("the worker that stays", "a worker that is killed", "another one"):
            self.start_worker(name)
        api_port, pages_port = free_port(), free_port()
        api = fleet.start("api", ML_GUARD_API_PORT=str(api_port), ML_GUARD_DEMO_KEY=KEY)
        url, pages = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{pages_port}"
        dashboard = fleet.start("dashboards.live", ML_GUARD_URL=url, ML_GUARD_DASHBOARD_PORT=str(pages_port))
        self.served = [
            Watched("the API", api.pid, f"{url}/metrics"),
            Watched("the dashboard", dashboard.pid),
        ]
        self.processes |= {api.pid: api, dashboard.pid: dashboard}
        await fleet.reading()
        async with (
            httpx.AsyncClient(base_url=f"{url}/api/v1", headers={"X-API-Key": KEY}, timeout=60) as client,
            httpx.AsyncClient(base_url=pages, timeout=60) as visitor,
        ):
            await _answers(client, "/health")
            await _answers(visitor, "/health")
            await self.capture_baselines(client)
            await self.suffer(client, visitor)
            await self.compare()
        return result

    def start_worker(self, name: str) -> None:
        port = free_port()
        process = self.fleet.start(ML_GUARD_WORKER_METRICS_PORT=str(port))
        self.workers[name] = Watched(name, process.pid, f"http://127.0.0.1:{port}/metrics")
        self.processes[process.pid] = process

    async def capture_baselines(self, client: httpx.AsyncClient) -> None:
        """Of days that are over, so that every event is also counted against frozen bins."""
        await produce(self.fleet.kafka, self.fleet.topic, range(HISTORY), make=self.history.event_json)
        await self.fleet.drained()
        days = self.history.expected(np.arange(HISTORY))
        async with asyncio.timeout(120):
            while await self.value("select count(*) from ml_guard.metric_day where status = 'final'") < len(
                days
            ):
                await asyncio.sleep(0.2)
        for project in self.zones:
            for model in MODELS:
                body = {
                    "project_id": project,
                    "model_id": model,
                    "days": [str(day) for p, m, day in days if (p, m) == (project, model)],
                }
                (await client.post("/baselines", json=body)).raise_for_status()

    async def suffer(self, client: httpx.AsyncClient, visitor: httpx.AsyncClient) -> None:
        """Events, kills, readers and readings, until the time is over."""
        began, now_ms = time.monotonic(), int(time.time() * 1000)
        self.series = Series(self.zones, now_ms, 1_000_000 // self.options.rate)
        self.trickle = Series({"soak_bridge": "UTC"}, now_ms, round(TRICKLE_S * 1e6 / TRICKLE))
        producing = asyncio.ensure_future(self.send())
        beside: list[Coroutine[Any, Any, None]] = [
            ask(client, self.result),
            follow(client, self.result),
            visit(visitor, self.result),
            self.watch(client),
            self.tell(),
        ]
        bridging, killing = (
            asyncio.ensure_future(one)
            for one in (
                send_through_the_bridge(client, self.trickle, producing, self.result),
                self.kill(),
            )
        )
        tasks = [killing, *map(asyncio.ensure_future, beside)]
        await asyncio.wait([producing, bridging, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        await producing
        self.result.seconds = time.monotonic() - began
        await bridging
        killing.cancel()
        began = time.monotonic()
        await self.fleet.drained(wait_s=self.options.wait_s)
        self.result.drained_s = time.monotonic() - began
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def send(self) -> None:
        """The events, packed by lz4, at the rate; a lot that is late is followed by larger ones."""
        result, rate, total = self.result, self.options.rate, int(self.options.rate * self.options.seconds)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.fleet.kafka,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=PACKED_BYTES,
        )
        await producer.start()
        try:
            began = time.monotonic()
            while result.events < total:
                due = min(total, int((time.monotonic() - began) * rate))
                result.late_s = max(result.late_s, (due - result.events) / rate - TICK_S)
                until = min(due, result.events + MOST)
                futures = []
                for partition in range(PARTITIONS):
                    batch = producer.create_batch()
                    for number in range(result.events + partition, until, PARTITIONS):
                        if (
                            batch.append(key=None, value=self.series.event_json(number), timestamp=None)
                            is None
                        ):
                            raise AssertionError("a lot does not fit into one batch")
                    if batch.record_count():
                        futures.append(
                            await producer.send_batch(batch, self.fleet.topic, partition=partition)
                        )
                await asyncio.gather(*futures)
                result.events = until
                await asyncio.sleep(max(0.0, began + until / rate + TICK_S - time.monotonic()))
        finally:
            await producer.stop()

    async def kill(self) -> None:
        """The two in turn; each is started anew at once."""
        for name in itertools.cycle(("a worker that is killed", "another one")):
            await asyncio.sleep(self.options.kill_every_s)
            self.fleet.kill(self.processes.pop(self.workers[name].pid))
            self.start_worker(name)
            self.result.kills += 1

    async def watch(self, client: httpx.AsyncClient) -> None:
        """Read what everybody holds, and see that nobody has ended by itself."""
        while True:
            await self.holdings.read(
                [*self.workers.values(), *self.served, *self.broker_and_database], client
            )
            for name, watched in self.workers.items():
                process = self.processes[watched.pid]
                if process.poll() is not None:
                    last = "\n".join(self.fleet.log_of(process).splitlines()[-LAST_LINES:])
                    self.result.wrong.append(
                        f"{name} ended by itself with status {process.returncode}:\n{last}"
                    )
                    self.start_worker(name)
            await asyncio.sleep(WATCH_S)

    async def tell(self) -> None:
        """A line a minute."""
        began, result = time.monotonic(), self.result
        while True:
            await asyncio.sleep(min(TELL_S, self.options.seconds / 3))
            try:
                ends, fences = await self.fleet.end_offsets(), await self.fleet.fences()
            except TROUBLES as error:
                self.options.console.print(f"the lag could not be asked for: {error!r}")
                continue
            lag = max(0, sum(ends.values()) - sum(fences.values()))
            result.lag = max(result.lag, lag)
            seconds = time.monotonic() - began
            held = {one.name: f"{one.resident_mb:.0f}" for one in self.holdings.readings[-7:]}
            self.options.console.print(
                f"{seconds / 60:.0f} min: {result.events:,} events ({result.events / seconds:,.0f}/s), "
                f"{lag:,} not written, {result.kills} kills, MB: {', '.join(held.values())}"
            )

    async def compare(self) -> None:
        """The state with what was sent, the results with the state, both ledgers."""
        result = self.result
        sent = [
            self.history.expected(np.arange(HISTORY)),
            self.trickle.expected(np.arange(result.bridged)),
            *(
                self.series.expected(np.arange(begin, min(begin + CHUNK, result.events)))
                for begin in range(0, result.events, CHUNK)
            ),
        ]
        wanted = added(sent)
        async with asyncio.timeout(180):
            while await self.value(_UNSETTLED):
                await asyncio.sleep(0.5)
        connection = await asyncpg.connect(self.fleet.database_url)
        try:
            result.wrong += differences(wanted, await observe(connection))
            result.wrong += await imbalances(connection)
            result.wrong += await _results(connection, wanted)
            result.days_closed = await connection.fetchval(
                "select count(*) from ml_guard.day_close where status = 'closed'"
            )
        finally:
            await connection.close()
        result.found = self.holdings.found()
        for name, statuses in (("the API", result.read), ("the dashboard", result.opened)):
            if others := {status: n for status, n in statuses.items() if status != OK}:
                result.wrong.append(f"{name} answered {others}")
        if not result.lived:
            result.wrong.append("the live stream said nothing")
        if self.options.judges_growth:
            result.wrong += [line for found in result.found for line in found.wrong]

    async def value(self, query: str) -> int:
        """One number from the database."""
        connection = await asyncpg.connect(self.fleet.database_url)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()


_UNSETTLED = """select (select count(*) from ml_guard.day_change where shard >= 0)
                     + (select count(*) from ml_guard.day_close
                         where reopened_at is not null or status <> 'closed' and day_end < now() - interval '1 minute')"""


@dataclass(frozen=True)
class Options:
    """How long, how much."""

    seconds: float
    rate: int = RATE
    kill_every_s: float = KILL_EVERY_S
    wait_s: float = 600.0
    judges_growth: bool = True
    console: Console = field(default_factory=lambda: Console(width=200))


def zone_with_midnight_in(begin: datetime, length: timedelta) -> str | None:
    """A zone whose next midnight is within this time, the nearest to its middle; None: there is none."""
    middle, found = begin + length / 2, {}
    for name in sorted(available_timezones()):
        local = begin.astimezone(ZoneInfo(name))
        midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight < begin + length - CLOSING:
            found[name] = abs(midnight - middle)
    return min(found, key=lambda name: found[name]) if found else None


async def _results(connection: asyncpg.Connection[Any], wanted: dict[ModelDay, Expected]) -> list[str]:
    """Where a day's result, provisional or final, has not the day's events."""
    rows = await connection.fetch("select project_id, model_id, day, requests from ml_guard.metric_day")
    have = {(row["project_id"], row["model_id"], row["day"]): row["requests"] for row in rows}
    want = {key: one.events for key, one in wanted.items()}
    return [
        f"{key}: its result has {have.get(key)} requests, expected {want.get(key)}"
        for key in sorted(have.keys() | want.keys())
        if have.get(key) != want.get(key)
    ]


async def _answers(client: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(90):
        while True:
            try:
                if (await client.get(path)).json() == {"status": "ok"}:
                    return
            except (httpx.HTTPError, ValueError):
                pass
            await asyncio.sleep(0.2)


async def on_own_stack(options: Options, readings: Path | None = None) -> Soak:
    """The whole of it on a stack of its own."""
    async with own_stack("soak") as own:
        parts = {"the broker": own.running.kafka_part.pid, "the database": own.running.database_part.pid}
        with own.fleet() as fleet:
            run = Run(fleet, parts, own.folder, options)
            try:
                return await run()
            finally:
                if readings is not None:
                    readings.write_text("".join(f"{json.dumps(line)}\n" for line in run.holdings.lines()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--kill-every", type=float, default=KILL_EVERY_S, metavar="SECONDS")
    parser.add_argument("--readings", type=Path, help="a file for all readings, a JSON object a line")
    given = parser.parse_args()
    options = Options(given.minutes * 60, given.rate, given.kill_every)
    result = asyncio.run(on_own_stack(options, given.readings))
    for table in report(result, options.rate):
        options.console.print(table)
    for line in result.wrong[:20]:
        options.console.print(line, style="red")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
