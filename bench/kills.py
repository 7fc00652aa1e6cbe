"""Are all counts exact when workers are killed at random moments, between the two commits too?

`python -m bench.kills` sends two million events past two workers and kills one about every third second; every other
new worker carries a failpoint, so that it dies at a known moment of its checkpoint. What the database then holds is
compared with what the events must come to (`bench/events.py`), and both ledgers must balance.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

import asyncpg
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.events import PROJECTS, event_json, expected, make_projects, produce
from bench.fleet import Fleet
from bench.observed import differences, imbalances, observe
from bench.own_stack import own_stack

POINTS = (
    "after_database_commit",
    "before_database_commit",
    "after_dead_letters",
    "after_fence",
    "after_kafka_commit",
    "after_fold",
    "after_claim",
)


BETWEEN_THE_COMMITS = "after_database_commit"
"""The first worker dies there, and is not killed before."""
ARMED = 0.6
"""Share of new workers that carry a failpoint."""


SPARED = 4
"""How often a worker with a failpoint is spared; it may have no work left that passes there."""


@dataclass
class KillRun:
    """What a run came to."""

    events: int
    kills: int = 0
    failpoints: list[str] = field(default_factory=list)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


async def run(
    fleet: Fleet,
    events: int,
    *,
    kills: int,
    seed: int,
    every_s: tuple[float, float],
    workers: int = 2,
    rate: float | None = None,
    wait_s: float = 600.0,
) -> KillRun:
    """Send the events past workers that are killed, and compare."""
    result = KillRun(events)
    began = time.monotonic()
    await make_projects(fleet.database_url, PROJECTS)
    crew = Crew(fleet, random.Random(seed), result, workers)
    producing = asyncio.ensure_future(
        produce(fleet.kafka, fleet.topic, range(events), make=event_json, rate=rate)
    )
    await crew.suffer(kills, every_s)
    await producing
    await fleet.drained(wait_s=wait_s, meanwhile=crew.replace_the_dead)
    crew.send_home()
    result.seconds = time.monotonic() - began
    connection = await asyncpg.connect(fleet.database_url)
    try:
        result.wrong += differences(expected(np.arange(events)), await observe(connection))
        result.wrong += await imbalances(connection)
    finally:
        await connection.close()
    return result


class Crew:
    """Workers, some with a failpoint, that are replaced when they die."""

    def __init__(self, fleet: Fleet, chance: random.Random, result: KillRun, workers: int) -> None:
        self._fleet = fleet
        self._chance = chance
        self._result = result
        self._points = [point for point in POINTS if point != BETWEEN_THE_COMMITS]
        self._armed: dict[int, str] = {}
        self._spared: Counter[int] = Counter()
        self._alive = [self._start_with(BETWEEN_THE_COMMITS), *(fleet.start() for _ in range(workers - 1))]

    async def suffer(self, kills: int, every_s: tuple[float, float]) -> None:
        """Kill one every so often, until so many have died at random moments and at failpoints."""
        while self._result.kills + len(self._result.failpoints) < kills:
            await asyncio.sleep(self._chance.uniform(*every_s))
            self.replace_the_dead(arm=True)
            victim = self._chance.randrange(len(self._alive))
            pid = self._alive[victim].pid
            self._spared[pid] += 1
            point = self._armed.get(pid)
            if point is None or (point != BETWEEN_THE_COMMITS and self._spared[pid] > SPARED):
                self._armed.pop(pid, None)
                self._fleet.kill(self._alive[victim])
                self._result.kills += 1
                self._alive[victim] = self._start(arm=True)

    def replace_the_dead(self, *, arm: bool = False) -> None:
        """Count those that have died at their failpoint, and start others; nobody may have ended in another way."""
        for place, process in enumerate(self._alive):
            if process.poll() is None:
                continue
            point = self._armed.pop(process.pid, None)
            if process.returncode == -signal.SIGKILL and point is not None:
                self._result.failpoints.append(point)
            else:
                self._result.wrong.append(f"a worker ended by itself with status {process.returncode}")
            self._alive[place] = self._start(arm=arm)

    def send_home(self) -> None:
        """SIGTERM for all."""
        for process in self._alive:
            if process.poll() is None:
                self._fleet.terminate(process)

    def _start(self, *, arm: bool) -> subprocess.Popen[bytes]:
        """A new worker; while there are points that nobody has died at, it may carry one."""
        if not (arm and self._points and self._chance.random() < ARMED):
            return self._fleet.start()
        return self._start_with(self._points.pop(0))

    def _start_with(self, point: str) -> subprocess.Popen[bytes]:
        process = self._fleet.start(ML_GUARD_FAILPOINT=f"{point}:{self._chance.randint(1, 4)}")
        self._armed[process.pid] = point
        return process


def report(result: KillRun) -> Table:
    """The run as a table."""
    table = Table(title="Workers killed at random moments")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{result.events:,}")
    table.add_row("kill -9 at a random moment", str(result.kills))
    table.add_row("killed at a failpoint", ", ".join(result.failpoints) or "none")
    table.add_row("seconds", f"{result.seconds:.0f}")
    table.add_row("differences from the expected state", str(len(result.wrong)))
    return table


async def long_run(events: int, kills: int, seed: int) -> KillRun:
    """The whole of it on a stack of its own."""
    async with own_stack("kills") as own:
        with own.fleet() as fleet:
            return await run(fleet, events, kills=kills, seed=seed, every_s=(1.5, 4.0), rate=30_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = asyncio.run(long_run(options.events, options.kills, options.seed))
    console = Console()
    console.print(report(result))
    for line in result.wrong[:20]:
        console.print(line, style="red")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
