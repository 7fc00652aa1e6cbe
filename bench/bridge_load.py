"""What does the bridge do at twice the load that it sustains?

First a few callers send as fast as they are answered: that is what it sustains. Then requests come at twice that rate,
whether it has answered or not, over as many connections as that takes: once under the limit of a key, once without one,
so that only the bridge's own bounds are left. Each answer must be a 200, or a 429 or 503 with `Retry-After`; whatever
was answered 200 must be in Kafka, and in the state once a worker has read it; and the first request after the load
must be taken at once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg
import httpx
import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.events import Series, make_projects
from bench.fleet import Fleet
from bench.own_stack import own_stack
from embedded.process import free_port
from ml_guard.event import EventBatch

KEY = "bench-bridge"
PROJECT = "bridge"
EVENTS = 500
"""In a request."""
CALLERS = 8
MOST_CONNECTIONS = 1_000
TWICE = 2.0
RECOVERED_S = 1.0
OK, LIMITED, BUSY = 200, 429, 503


@dataclass
class Phase:
    """What a phase came to."""

    name: str
    seconds: float = 0.0
    asked: int = 0
    """Requests that came."""
    statuses: Counter[int] = field(default_factory=Counter)
    untold: int = 0
    """Refusals without `Retry-After`."""
    took_s: list[float] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    """The names of what was answered 200."""

    @property
    def per_second(self) -> float:
        """Events taken a second."""
        return len(self.taken) * EVENTS / self.seconds


class Caller:
    """Sends requests over connections that it keeps; as little work as can be, since it shares the machine."""

    def __init__(self, port: int, body: bytes) -> None:
        self._port, self._body = port, body
        self._free: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._names = itertools.count()
        self._head = (
            f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: "
        )

    async def ask(self, phase: Phase) -> None:
        """One request, and its answer."""
        name, began = f"{self._port}-{next(self._names)}", time.monotonic()
        phase.asked += 1
        reader, writer = self._free.pop() if self._free else await self._connect()
        writer.write(f"{self._head}{name}\r\n\r\n".encode() + self._body)
        try:
            status, headers = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            phase.statuses[0] += 1
            writer.close()
            return
        self._free.append((reader, writer))
        phase.statuses[status] += 1
        phase.took_s.append(time.monotonic() - began)
        if status == OK:
            phase.taken.add(name)
        elif b"retry-after:" not in headers:
            phase.untold += 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        """Let all connections go."""
        for _, writer in self._free:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1]), head


async def as_fast_as_answered(caller: Caller, seconds: float) -> Phase:
    """What the bridge sustains."""
    phase, began = Phase("as fast as it answers"), time.monotonic()

    async def call() -> None:
        while time.monotonic() - began < seconds:
            await caller.ask(phase)

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    phase.seconds = time.monotonic() - began
    return phase


async def come_what_may(caller: Caller, name: str, per_second: float, seconds: float) -> Phase:
    """Requests at a rate, answered or not."""
    phase, began, due = Phase(name), time.monotonic(), 0
    asking: set[asyncio.Task[None]] = set()
    while (now := time.monotonic() - began) < seconds:
        while due < now * per_second and len(asking) < MOST_CONNECTIONS:
            task = asyncio.ensure_future(caller.ask(phase))
            asking.add(task)
            task.add_done_callback(asking.discard)
            due += 1
        due = max(due, int(now * per_second))  # who found no connection goes away
        await asyncio.sleep(0.005)
    await asyncio.gather(*asking)
    phase.seconds = time.monotonic() - began
    return phase


async def recovers(caller: Caller) -> tuple[Phase, float]:
    """Requests one after the other; and how long it took until one was taken."""
    phase, began = Phase("right after it, one caller"), time.monotonic()
    while not phase.taken and time.monotonic() - began < 30:
        await caller.ask(phase)
        await asyncio.sleep(0.01)
    first_s = time.monotonic() - began
    for _ in range(20):
        await caller.ask(phase)
    phase.seconds = time.monotonic() - began
    return phase, first_s


async def in_kafka(fleet: Fleet) -> Counter[str]:
    """How many events of each batch the topic holds; a batch that came twice counts once."""
    ends = await fleet.end_offsets()
    decode = msgspec.json.Decoder(EventBatch).decode
    found: dict[tuple[str, int], int] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=fleet.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(fleet.topic, partition) for partition in ends]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        left = {place: end for place, end in zip(places, ends.values(), strict=True) if end}
        while left:
            for place, records in (await consumer.getmany(timeout_ms=1000)).items():
                for record in records:
                    batch = decode(record.value or b"")
                    found[batch.batch_id or "", batch.part] = len(batch.events)
                if records[-1].offset + 1 >= left[place]:
                    del left[place]
    finally:
        await consumer.stop()
    events: Counter[str] = Counter()
    for (name, _), count in found.items():
        events[name] += count
    return events


@dataclass
class Load:
    """All phases, and what they left."""

    phases: list[Phase]
    first_s: list[float]
    """From the end of each load until a request was taken."""
    missing: int
    """Events answered 200 that are not in Kafka."""
    unanswered: int
    """Events in Kafka whose request was not answered 200."""
    counted: int
    """Events in the state."""
    wanted: int

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        wrong = []
        for phase in self.phases:
            if others := set(phase.statuses) - {OK, LIMITED, BUSY}:
                wrong.append(f"{phase.name}: answers {sorted(others)}")
            if phase.untold:
                wrong.append(f"{phase.name}: {phase.untold} refusals without Retry-After")
        if self.missing:
            wrong.append(f"{self.missing} events that were answered 200 are not in Kafka")
        if self.counted != self.wanted:
            wrong.append(f"{self.counted} events in the state, {self.wanted} in Kafka")
        wrong += [f"taken again after {late:.1f} s only" for late in self.first_s if late > RECOVERED_S]
        return wrong


async def run(fleet: Fleet, ports: tuple[int, int], seconds: float) -> Load:
    """The load on two APIs, one with the default limit of a key and one without."""
    await make_projects(fleet.database_url, {PROJECT: "UTC"})
    series = Series({PROJECT: "UTC"}, int(time.time() * 1000) - 3_600_000, 1_000)
    body = b"[" + b",".join(map(series.event_json, range(EVENTS))) + b"]"
    phases: list[Phase] = []
    first_s: list[float] = []
    names = ("twice that, the default limit of a key", "twice that, no limit of a key")
    for port, limit, name in zip(ports, (None, "1e12"), names, strict=True):
        more = {} if limit is None else {"ML_GUARD_KEY_EVENTS_PER_S": limit}
        api = fleet.start("api", ML_GUARD_API_PORT=str(port), ML_GUARD_DEMO_KEY=KEY, **more)
        await _healthy(port)
        caller = Caller(port, body)
        phases.append((await recovers(caller))[0])
        phases[-1].name = "before it, one caller"
        calm = await as_fast_as_answered(caller, seconds)
        await asyncio.sleep(2)  # the key's bucket is full again
        load = await come_what_may(caller, name, TWICE * calm.per_second / EVENTS, seconds)
        after, late_s = await recovers(caller)
        caller.close()
        fleet.terminate(api)
        phases += [calm, load, after]
        first_s.append(late_s)
    return await compare(fleet, phases, first_s)


async def compare(fleet: Fleet, phases: Iterable[Phase], first_s: list[float]) -> Load:
    """What was answered 200 with Kafka, Kafka with the state."""
    held = await in_kafka(fleet)
    fleet.start()
    await fleet.drained(wait_s=300)
    connection = await asyncpg.connect(fleet.database_url)
    try:
        counted = await connection.fetchval(
            "select coalesce(sum(n), 0)::bigint from ml_guard.day_sketch where kind = 'events'"
        )
    finally:
        await connection.close()
    phases = list(phases)
    taken = [name for phase in phases for name in phase.taken]
    missing = sum(EVENTS - held[name] for name in taken)
    wanted = sum(held.values())
    return Load(phases, first_s, missing, wanted - sum(held[name] for name in taken), counted, wanted)


async def _healthy(port: int) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/api/v1/health")).status_code == OK:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)


def report(load: Load) -> Table:
    """A phase a row."""
    table = Table(title=f"The bridge at twice what it sustains: arrays of {EVENTS} events")
    for column in ("", "requests/s", "200", "429", "503", "events/s taken", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    for phase in load.phases:
        took = np.array(phase.took_s or [0.0])
        table.add_row(
            phase.name,
            f"{phase.asked / phase.seconds:,.0f}",
            *(f"{phase.statuses[status]:,}" for status in (OK, LIMITED, BUSY)),
            f"{phase.per_second:,.0f}",
            f"{np.quantile(took, 0.5):.3f} s",
            f"{np.quantile(took, 0.99):.3f} s",
        )
    return table


async def on_own_stack(seconds: float) -> Load:
    """The whole of it on a stack of its own."""
    async with own_stack("bridge") as own:
        with own.fleet() as fleet:
            return await run(fleet, (free_port(), free_port()), seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    load = asyncio.run(on_own_stack(parser.parse_args().seconds))
    console = Console(width=130)
    console.print(report(load))
    console.print(
        f"Taken again after {', '.join(f'{late:.2f} s' for late in load.first_s)}. Answered 200 and not in Kafka: "
        f"{load.missing}. In Kafka without a 200: {load.unanswered:,}. In the state: {load.counted:,} of {load.wanted:,}."
    )
    for line in load.wrong:
        console.print(line, style="red")
    return 1 if load.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
