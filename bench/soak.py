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
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
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
from rich.table import Table

from bench.events import MODELS, Expected, ModelDay, Series, added, make_projects, produce
from bench.fleet import Fleet
from bench.holdings import Found, Holdings, Watched
from bench.observed import differences, imbalances, observe
from embedded.process import free_port

RATE = 20_000
KILL_EVERY_S = 120.0
KEY = "bench-soak"
PARTITIONS = 4
OK, BUSY = 200, 503
DAY_MS = 86_400_000
HISTORY = 20_000
"""Events of a time between three and two days before, over which the baselines are captured."""
TICK_S = 0.1
MOST = 12_000
"""Events in flight at most, so that a producer that was held up sends on in bearable lots."""
PACKED_BYTES = 1_048_576
CHUNK = 2_000_000
READ_S, OPEN_S, WATCH_S, TELL_S, TRICKLE_S = 1.0, 15.0, 5.0, 60.0, 1.0
TRICKLE = 10
"""Events a request of the bridge's own project."""
READS = (
    "/metrics/daily",
    "/features/daily",
    "/drift/daily",
    "/ledger",
    "/models",
    "/latency?project_id=soak_a&model_id=churn&from={begin}&to={end}",
    "/alerts",
)
HOUR, CLOSING = timedelta(hours=1), timedelta(minutes=2)
TROUBLES = (OSError, TimeoutError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass
class Soak:
    """What a run came to."""

    seconds: float = 0.0
    events: int = 0
    late_s: float = 0.0
    """By how much the producer was behind its rate at most."""
    kills: int = 0
    read: Counter[int] = field(default_factory=Counter)
    """Answers of the API by status, or 0 where there was none."""
    read_s: list[float] = field(default_factory=list)
    lived: int = 0
    """Messages of the live stream."""
    bridged: int = 0
    refused: int = 0
    """Requests of the bridge that were sent again."""
    opened: Counter[int] = field(default_factory=Counter)
    """Answers of the dashboard."""
    lag: int = 0
    """Records that waited for a checkpoint at most, as looked at once a minute."""
    days_closed: int = 0
    drained_s: float = 0.0
    found: list[Found] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


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
            self.ask(client),
            self.follow(client),
            self.visit(visitor),
            self.watch(client),
            self.tell(),
        ]
        bridging, killing = (
            asyncio.ensure_future(one) for one in (self.bridge(client, producing), self.kill())
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

    async def ask(self, client: httpx.AsyncClient) -> None:
        """Lists of the API, one after the other."""
        for path in itertools.cycle(READS):
            began, now = time.monotonic(), datetime.now(UTC)
            hour = {"begin": f"{now - HOUR:%Y-%m-%dT%H:%M:%SZ}", "end": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
            try:
                answer = await client.get(path.format(**hour))
                self.result.read[answer.status_code] += 1
                self.result.read_s.append(time.monotonic() - began)
            except httpx.HTTPError:
                self.result.read[0] += 1
            await asyncio.sleep(READ_S)

    async def follow(self, client: httpx.AsyncClient) -> None:
        """The live stream, which must not end."""
        while True:
            try:
                async with client.stream("GET", "/live") as stream:
                    async for line in stream.aiter_lines():
                        self.result.lived += line.startswith("event: metric")
                self.result.wrong.append("the live stream has ended")
            except httpx.HTTPError as error:
                self.result.wrong.append(f"the live stream has ended: {error!r}")
            await asyncio.sleep(1)

    async def bridge(self, client: httpx.AsyncClient, producing: asyncio.Future[None]) -> None:
        """A few events a second, each request until it is answered `ok`."""
        result = self.result
        while not producing.done():
            numbers = range(result.bridged, result.bridged + TRICKLE)
            body = b"[" + b",".join(map(self.trickle.event_json, numbers)) + b"]"
            headers = {"Idempotency-Key": f"soak-{numbers.start}", "Content-Type": "application/json"}
            while True:
                try:
                    answer = await client.post("/events", content=body, headers=headers)
                    if answer.status_code == OK:
                        break
                except httpx.HTTPError:
                    pass
                result.refused += 1
                await asyncio.sleep(1)
            result.bridged = numbers.stop
            await asyncio.sleep(TRICKLE_S)

    async def visit(self, visitor: httpx.AsyncClient) -> None:
        """Pages of the dashboard; each visit makes a session that must go again."""
        entered = await visitor.post("/login", data={"key": KEY, "next": ""})
        if entered.status_code != httpx.codes.SEE_OTHER:
            raise RuntimeError(f"/login of the dashboard answered {entered.status_code}")
        model = "project=soak_a&model=churn&endpoint=predict"
        for query in itertools.cycle(
            ("page=overview", f"page=model&{model}", f"page=feature&{model}&feature=age")
        ):
            try:
                self.result.opened[(await visitor.get(f"/?{query}")).status_code] += 1
            except httpx.HTTPError:
                self.result.opened[0] += 1
            await asyncio.sleep(OPEN_S)

    async def watch(self, client: httpx.AsyncClient) -> None:
        """Read what everybody holds, and see that nobody has ended by itself."""
        while True:
            await self.holdings.read(
                [*self.workers.values(), *self.served, *self.broker_and_database], client
            )
            for name, watched in self.workers.items():
                process = self.processes[watched.pid]
                if process.poll() is not None:
                    self.result.wrong.append(f"{name} ended by itself with status {process.returncode}")
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


def report(result: Soak, options: Options) -> Iterator[Table]:
    """What happened, and what everybody held."""
    rate, asked = result.events / result.seconds, np.array(result.read_s)
    table = Table(title=f"Soak: {result.seconds / 60:.0f} min at {options.rate:,} events/s")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{result.events:,}")
    table.add_row("events/s sent; at most behind", f"{rate:,.0f}; {result.late_s:.1f} s")
    table.add_row("workers killed by kill -9", str(result.kills))
    table.add_row("records that waited for a checkpoint, at most", f"{result.lag:,}")
    table.add_row("until all was written, after the last event", f"{result.drained_s:.1f} s")
    table.add_row("days closed", str(result.days_closed))
    table.add_row("events through the bridge; requests repeated", f"{result.bridged:,}; {result.refused}")
    table.add_row(
        "answers of the API, 503 among them; p50, p99",
        f"{asked.size:,}, {result.read[BUSY]}; {np.quantile(asked, 0.5):.2f} s, {np.quantile(asked, 0.99):.2f} s",
    )
    table.add_row("results on the live stream", f"{result.lived:,}")
    table.add_row("pages of the dashboard opened", f"{sum(result.opened.values()):,}")
    table.add_row("what is wrong", str(len(result.wrong)))
    yield table
    table = Table(title="What each process held after its warm-up: first to last")
    for column in (
        "process",
        "lives",
        "resident, MB",
        "peak",
        "MB an hour",
        "growth",
        "handles",
        "threads",
        "tasks",
    ):
        table.add_column(column, justify="left" if column == "process" else "right")
    for found in result.found:
        table.add_row(
            found.name,
            str(found.lives),
            f"{found.first_mb:.0f} to {found.last_mb:.0f}",
            f"{found.peak_mb:.0f}",
            f"{found.mb_per_hour:+.1f}",
            f"{found.growth:+.1%}",
            *(
                "{:g} to {:g}".format(*found.counts[what]) if what in found.counts else "-"
                for what in ("handles", "threads", "tasks")
            ),
        )
    yield table


async def on_own_stack(options: Options, readings: Path | None = None) -> Soak:
    """The whole of it on a stack of its own."""
    from embedded import stack
    from stream.migrate import migrate
    from stream.settings import Settings
    from stream.topics import ensure_topics

    with tempfile.TemporaryDirectory(prefix="ml-guard-soak-") as name:
        folder = Path(name)
        running = stack.start(folder)
        try:
            await migrate(running.database_url)
            await ensure_topics(
                Settings(kafka=running.kafka, topic="soak", dead_topic="soak.dead", partitions=PARTITIONS)
            )
            parts = {"the broker": running.kafka_part.pid, "the database": running.database_part.pid}
            with Fleet(running.kafka, running.database_url, "soak", folder / "workers") as fleet:
                run = Run(fleet, parts, folder, options)
                try:
                    return await run()
                finally:
                    if readings is not None:
                        readings.write_text("".join(f"{json.dumps(line)}\n" for line in run.holdings.lines()))
        finally:
            running.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--kill-every", type=float, default=KILL_EVERY_S, metavar="SECONDS")
    parser.add_argument("--readings", type=Path, help="a file for all readings, a JSON object a line")
    given = parser.parse_args()
    options = Options(given.minutes * 60, given.rate, given.kill_every)
    result = asyncio.run(on_own_stack(options, given.readings))
    for table in report(result, options):
        options.console.print(table)
    for line in result.wrong[:20]:
        options.console.print(line, style="red")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
