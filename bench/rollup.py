"""How long after the commit that changed it is a model-day's new result there?

Five thousand events a second of four models, one worker that checkpoints and rolls up. One query, asked again and
again, says how many events are committed and how many the results show; a count is behind from the first answer that
has it committed to the first that has it in the results. So the time between two answers is in every figure.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from bisect import bisect_right
from dataclasses import dataclass

import asyncpg
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.events import make_projects
from bench.fleet import Fleet
from bench.freshness import send
from bench.own_stack import own_stack

POLL_S = 0.005
WANTED_P95_S = 0.25
_COUNTS = """select (select coalesce(sum(n), 0)::bigint from ml_guard.day_sketch
                      where feature = '@events' and kind = 'events'),
                    (select coalesce(sum(requests), 0)::bigint from ml_guard.metric_day)"""


@dataclass(frozen=True)
class Lag:
    """What a run came to."""

    events: int
    rate: float
    commits: int
    between_answers_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    longest_s: float
    longest_at_s: float
    """When in the run the longest one began."""


async def run(fleet: Fleet, *, rate: int, seconds: float) -> Lag:
    """Send at this rate and look at the database."""
    await make_projects(fleet.database_url, {"bench_0": "UTC", "bench_1": "UTC"})
    fleet.start()
    await fleet.reading()
    acknowledged: list[tuple[float, int]] = []
    answers: list[tuple[float, int, int]] = []
    looking = asyncio.ensure_future(_look(fleet.database_url, answers))
    began = time.monotonic()
    await send(fleet, rate, seconds, acknowledged)
    took, total = time.monotonic() - began, acknowledged[-1][1]
    async with asyncio.timeout(60):
        while not answers or answers[-1][2] < total:
            await asyncio.sleep(0.05)
    looking.cancel()
    began_at, delays = np.array(_delays(answers)).T
    times = np.diff([at for at, _, _ in answers])
    return Lag(
        total, total / took, delays.size, float(np.median(times)),
        *np.quantile(delays, (0.5, 0.95, 0.99)).tolist(),
        float(delays.max()), float(began_at[delays.argmax()] - began),
    )  # fmt: skip


async def _look(database_url: str, answers: list[tuple[float, int, int]]) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            committed, shown = await connection.fetchrow(_COUNTS)
            answers.append((time.monotonic(), committed, shown))
            await asyncio.sleep(POLL_S)
    finally:
        connection.terminate()


def _delays(answers: list[tuple[float, int, int]]) -> list[tuple[float, float]]:
    """When a count was first seen committed, and how long after that the results first had it."""
    shown = np.maximum.accumulate([results for _, _, results in answers]).tolist()
    delays, most = [], 0
    for at, committed, _ in answers:
        if committed > most:
            most = committed
            delays.append((at, max(0.0, answers[bisect_right(shown, committed - 1)][0] - at)))
    return delays


def report(lag: Lag) -> Table:
    """The run as a table."""
    table = Table(title="Rollup: from the worker's commit to the new result")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{lag.events:,}")
    table.add_row("events/s", f"{lag.rate:,.0f}")
    table.add_row("commits seen", f"{lag.commits:,}")
    table.add_row("between two looks", f"{1000 * lag.between_answers_s:.0f} ms")
    table.add_row("p50", f"{1000 * lag.p50_s:.0f} ms")
    table.add_row("p95", f"{1000 * lag.p95_s:.0f} ms")
    table.add_row("p99", f"{1000 * lag.p99_s:.0f} ms")
    table.add_row("longest", f"{1000 * lag.longest_s:.0f} ms, at {lag.longest_at_s:.1f} s")
    return table


async def on_own_stack(rate: int, seconds: float) -> Lag:
    """The whole of it on a stack of its own."""
    async with own_stack("rollup") as own:
        with own.fleet() as fleet:
            return await run(fleet, rate=rate, seconds=seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    lag = asyncio.run(on_own_stack(options.rate, options.seconds))
    Console().print(report(lag))
    return 0 if lag.p95_s <= WANTED_P95_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
