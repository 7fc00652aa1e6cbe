"""How many events a second does one worker take from Kafka into TimescaleDB, beside stock Faust that does nothing?

A topic of single-event JSON records of 441 bytes with 12 values each, four models. The worker's time runs from its
claim of the partitions to the checkpoint that holds the last event; decoding, sketches, traffic, both ledgers, the
rollup of the open day and all transactions are in it. Stock Faust's runs from its first batch: `take()` of raw
records, and an agent that throws them away. Both read the same records in one run, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.events import make_projects, produce
from bench.fleet import Fleet
from bench.own_stack import own_stack

RECORD_BYTES = 441
VARIANTS = 5_000
WANTED_RATIO = 10.0


@dataclass(frozen=True)
class Rate:
    """What one reader came to."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor an event."""
        return self.cpu_seconds / self.events * 1e6


def wide_event(seed: int = 1) -> Callable[[int], bytes]:
    """Makes event `i`: 441 bytes; latency, prediction, probability and nine features; two projects, two models."""
    chance = random.Random(seed)
    bodies = [_body(chance) for _ in range(VARIANTS)]
    start = int(time.time() * 1000) - 6 * 3_600_000

    def make(i: int) -> bytes:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((start + i * 10) // 1000))
        head = (
            b'{"project_id":"bench_%d","model_id":"credit_model_v%d","endpoint":"predict","event_id":"%016d",'
            % (
                i % 2,
                i // 2 % 2,
                i,
            )
        )
        event = (
            head + b'"timestamp":"%s.%03dZ",' % (at.encode(), (start + i * 10) % 1000) + bodies[i % VARIANTS]
        )
        return event[:-1] + b" " * (RECORD_BYTES - len(event)) + b"}"

    return make


def _body(chance: random.Random) -> bytes:
    features = {
        "age": chance.randrange(18, 90),
        "account_balance": round(chance.gauss(1_200, 400), 2),
        "country": chance.choice(["CA", "US", "DE", "FR", "NP"]),
        "tenure_months": chance.randrange(120),
        "credit_utilization": round(chance.random(), 6),
        "is_active": chance.random() < 0.5,
        "subscription_plan": chance.choice(["free", "pro", "team"]),
        "logins_last_7_days": chance.randrange(40),
        "spend_last_30_days": round(chance.expovariate(0.01), 2),
    }
    event = {
        "latency_ms": round(chance.lognormvariate(3, 0.5), 3),
        "y_pred": chance.randrange(2),
        "y_proba": round(chance.random(), 6),
        "features": features,
    }
    return json.dumps(event, separators=(",", ":")).encode()[1:]


async def measure_worker(fleet: Fleet, events: int) -> Rate:
    """One worker, from its claim to the last checkpoint."""
    worker = fleet.start()
    await fleet.reading()
    began, cpu = time.monotonic(), _cpu_seconds(worker.pid)
    await fleet.drained(wait_s=600)
    rate = Rate(events, time.monotonic() - began, _cpu_seconds(worker.pid) - cpu)
    fleet.terminate(worker)
    return rate


def measure_stock(kafka: str, topic: str, events: int) -> Rate:
    """Stock Faust over the same topic."""
    command = [sys.executable, "-m", "bench.stock", kafka, topic, str(events)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return Rate(**json.loads(done.stdout.splitlines()[-1]))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def report(worker: Rate, stock: Rate) -> Table:
    """The two beside each other."""
    table = Table(title=f"Throughput: {RECORD_BYTES}-byte events, 12 values each, one worker")
    for column in ("", "events", "seconds", "events/s", "CPU µs/event"):
        table.add_column(column, justify="left" if not column else "right")
    for name, rate in (
        ("worker, checkpoints included", worker),
        ("stock Faust take(), doing nothing", stock),
    ):
        table.add_row(
            name, f"{rate.events:,}", f"{rate.seconds:.1f}", f"{rate.per_second:,.0f}", f"{rate.cpu_us:.1f}"
        )
    ratio = worker.per_second / stock.per_second
    table.add_row("ratio", "", "", f"{ratio:.1f} x", f"{stock.cpu_us / worker.cpu_us:.1f} x")
    return table


async def run(events: int, stock_events: int, console: Console) -> float:
    """Everything on a stack of its own; the ratio."""
    async with own_stack("throughput") as own:
        kafka = own.running.kafka
        await make_projects(own.running.database_url, {"bench_0": "America/Toronto", "bench_1": "UTC"})
        console.log(f"sending {events:,} events")
        await produce(kafka, own.topic, range(events), make=wide_event())
        with own.fleet() as fleet:
            console.log("the worker reads them")
            worker = await measure_worker(fleet, events)
        console.log(f"stock Faust reads {stock_events:,} of them")
        stock = await asyncio.to_thread(measure_stock, kafka, own.topic, stock_events)
    console.print(report(worker, stock))
    return worker.per_second / stock.per_second


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--stock-events", type=int, default=300_000, help="its rate is steady, so it need not read all"
    )
    options = parser.parse_args()
    ratio = asyncio.run(run(options.events, options.stock_events, Console()))
    return 0 if ratio >= WANTED_RATIO else 1


if __name__ == "__main__":
    raise SystemExit(main())
