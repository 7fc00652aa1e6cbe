"""How long after it was sent is an event visible in the API?

Five thousand events a second of four models, one worker, the API on its own process. Every broker acknowledgement is
a probe: it is visible at the first answer of `GET /api/v1/metrics/daily` whose `requests` reach the number of events
acknowledged by then. So broker, fold, checkpoint, rollup, API and HTTP are all in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from bench.events import make_projects
from bench.fleet import Fleet
from bench.own_stack import own_stack
from bench.throughput import wide_event
from embedded.process import free_port

KEY = "bench-freshness"
TICK_S = 0.02
POLL_S = 0.02
WANTED_P95_S = 1.0


@dataclass(frozen=True)
class Freshness:
    """What a run came to."""

    events: int
    rate: float
    p50_s: float
    p95_s: float
    longest_s: float


@contextmanager
def serving(fleet: Fleet, port: int) -> Iterator[str]:
    """The API as a process, and its base URL."""
    environment = fleet.environment(ML_GUARD_API_PORT=str(port), ML_GUARD_DEMO_KEY=KEY)
    with (fleet.log_dir / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(20)


async def run(fleet: Fleet, port: int, *, rate: int, seconds: float) -> Freshness:
    """Send at this rate and look at the API."""
    await make_projects(fleet.database_url, {"bench_0": "UTC", "bench_1": "UTC"})
    fleet.start()
    with serving(fleet, port) as url:
        await fleet.reading()
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": KEY}, timeout=30) as client:
            await _healthy(client)
            acknowledged: list[tuple[float, int]] = []
            seen: list[tuple[float, int]] = []
            looking = asyncio.ensure_future(_look(client, seen))
            began = time.monotonic()
            await send(fleet, rate, seconds, acknowledged)
            took = time.monotonic() - began
            total = acknowledged[-1][1]
            async with asyncio.timeout(60):
                while not seen or seen[-1][1] < total:
                    await asyncio.sleep(0.05)
            looking.cancel()
    delays = np.array(delays_of(acknowledged, seen))
    return Freshness(
        total,
        total / took,
        float(np.quantile(delays, 0.5)),
        float(np.quantile(delays, 0.95)),
        float(delays.max()),
    )


def delays_of(acknowledged: list[tuple[float, int]], seen: list[tuple[float, int]]) -> list[float]:
    """From when each probe was sent to the first answer that has it."""
    counts = [count for _, count in seen]
    return [seen[bisect_right(counts, count - 1)][0] - sent_at for sent_at, count in acknowledged]


async def send(fleet: Fleet, rate: int, seconds: float, acknowledged: list[tuple[float, int]]) -> None:
    """Events at this rate; `acknowledged` gets when each handful was sent, and how many it makes in all."""
    make = wide_event()
    producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka, acks="all", linger_ms=2)
    await producer.start()
    try:
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate)
            futures = [
                await producer.send(fleet.topic, make(number), partition=number % 4)
                for number in range(sent, due)
            ]
            if futures:
                await asyncio.gather(*futures)
                sent = due
                acknowledged.append((now, sent))
            await asyncio.sleep(TICK_S)
    finally:
        await producer.stop()


async def _look(client: httpx.AsyncClient, seen: list[tuple[float, int]]) -> None:
    most = 0
    while True:
        answer = await client.get("/metrics/daily", params={"limit": 100})
        if answer.status_code == httpx.codes.OK:
            requests = sum(row["requests"] for row in answer.json()["items"])
            if requests > most:
                most = requests
                seen.append((time.monotonic(), requests))
        await asyncio.sleep(POLL_S)


async def _healthy(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await client.get("/health")).json() == {"status": "ok"}:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)


def report(freshness: Freshness) -> Table:
    """The run as a table."""
    table = Table(title="Freshness: from the producer's send to the answer of the API")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{freshness.events:,}")
    table.add_row("events/s", f"{freshness.rate:,.0f}")
    table.add_row("p50", f"{freshness.p50_s:.2f} s")
    table.add_row("p95", f"{freshness.p95_s:.2f} s")
    table.add_row("longest", f"{freshness.longest_s:.2f} s")
    return table


async def on_own_stack(rate: int, seconds: float) -> Freshness:
    """The whole of it on a stack of its own."""
    async with own_stack("freshness") as own:
        with own.fleet() as fleet:
            return await run(fleet, free_port(), rate=rate, seconds=seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    freshness = asyncio.run(on_own_stack(options.rate, options.seconds))
    Console().print(report(freshness))
    return 0 if freshness.p95_s <= WANTED_P95_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
