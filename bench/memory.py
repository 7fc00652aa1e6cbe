"""Does a worker's memory stay flat, however many events go through it?

Five million events of twenty models with fifty features each, past one worker; its resident memory is read every
second. Warm-up is the first fifth of the events: from then on the line through the readings must not rise by more
than a tenth of their mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.events import make_projects, produce
from bench.fleet import Fleet
from bench.own_stack import own_stack

MODELS = 20
FEATURES = 50
VARIANTS = 400
STEP = 50_000
BEHIND = 150_000
"""Records that the producer may be ahead of the worker, so that the log's page cache is not what is measured."""
WARM_UP = 0.2
MOST_GROWTH = 0.10


@dataclass(frozen=True)
class Memory:
    """What a run came to, in megabytes."""

    events: int
    seconds: float
    first: float
    last: float
    peak: float
    growth: float
    """Of the line through the readings after the warm-up, from its beginning to its end, relative to their mean."""


def fifty_features(models: int = MODELS, seed: int = 1) -> Callable[[int], bytes]:
    """Makes event `i`, of each model in turn."""
    chance = random.Random(seed)
    bodies = []
    for _ in range(VARIANTS):
        features: dict[str, object] = {
            f"number_{k:02d}": round(chance.gauss(0, 1), 4) for k in range(FEATURES - 8)
        }
        features |= {f"label_{k}": chance.choice(["a", "b", "c", "d"]) for k in range(5)}
        features |= {f"flag_{k}": chance.random() < 0.5 for k in range(3)}
        event = {
            "latency_ms": round(chance.expovariate(0.02), 2),
            "y_pred": chance.randrange(2),
            "features": features,
        }
        bodies.append(json.dumps(event, separators=(",", ":")).encode()[1:])
    start = int(time.time()) - 3_600

    def make(i: int) -> bytes:
        head = b'{"project_id":"memory","model_id":"model_%02d","timestamp":%d,' % (
            i % models,
            start + i // 5_000 % 3_600,
        )
        return head + bodies[i * 7 % VARIANTS]

    return make


async def run(
    fleet: Fleet,
    events: int,
    *,
    step: int = STEP,
    models: int = MODELS,
    warm_up: float = WARM_UP,
    behind: int = BEHIND,
) -> Memory:
    """Send the events past one worker and watch it."""
    await make_projects(fleet.database_url, {"memory": "UTC"})
    worker = fleet.start()
    await fleet.reading()
    make, began = fifty_features(models), time.monotonic()
    readings: list[tuple[int, float]] = []
    watching = asyncio.ensure_future(_watch(worker.pid, fleet, readings))
    for begin in range(0, events, step):
        await produce(fleet.kafka, fleet.topic, range(begin, min(begin + step, events)), make=make)
        while begin + step - sum((await fleet.fences()).values()) > behind:
            await asyncio.sleep(0.2)
    await fleet.drained(wait_s=600)
    watching.cancel()
    seconds = time.monotonic() - began
    fleet.terminate(worker)
    after = np.array([reading for reading in readings if reading[0] >= events * warm_up])
    slope, intercept = np.polyfit(after[:, 0], after[:, 1], 1)
    first, last = intercept + slope * after[0, 0], intercept + slope * after[-1, 0]
    growth = (last - first) / after[:, 1].mean()
    return Memory(
        events, seconds, float(after[0, 1]), float(after[-1, 1]), max(mb for _, mb in readings), float(growth)
    )


async def _watch(pid: int, fleet: Fleet, readings: list[tuple[int, float]]) -> None:
    while True:
        written = sum((await fleet.fences()).values())
        readings.append((written, resident_mb(pid)))
        await asyncio.sleep(0.1)


def resident_mb(pid: int) -> float:
    """What a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def report(memory: Memory) -> Table:
    """The run as a table."""
    table = Table(title=f"Memory of one worker: {MODELS} models with {FEATURES} features each")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{memory.events:,}")
    table.add_row("events/s, the producer on the same machine", f"{memory.events / memory.seconds:,.0f}")
    table.add_row(
        "resident after the warm-up, at the end, at most",
        f"{memory.first:.0f}, {memory.last:.0f}, {memory.peak:.0f} MB",
    )
    table.add_row("growth after the warm-up", f"{memory.growth:+.1%}")
    return table


async def long_run(events: int) -> Memory:
    """The whole of it on a stack of its own."""
    async with own_stack("memory") as own:
        with own.fleet() as fleet:
            return await run(fleet, events)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    memory = asyncio.run(long_run(parser.parse_args().events))
    Console().print(report(memory))
    return 0 if memory.growth <= MOST_GROWTH else 1


if __name__ == "__main__":
    raise SystemExit(main())
