"""Which events do the benches and the fault tests send, and what must come out?

Every event is a function of its number, so that the expected result needs no memory of what was sent and imports
nothing of `stream`: `expected` adds up the same numbers with numpy.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
from aiokafka import AIOKafkaProducer

PROJECTS = {"kills_a": "America/Toronto", "kills_b": "Asia/Kathmandu"}
MODELS = ("churn", "fraud")
COUNTRIES = ("CA", "US", "DE", "FR", "NP")
START_MS = 1_735_700_000_000
STEP_MS = 150
"""Two million events are then three and a half days."""

ModelDay = tuple[str, str, date]


@dataclass
class Expected:
    """What one model-day must hold."""

    events: int = 0
    numbers: dict[str, list[float]] = field(default_factory=dict)
    """n, minimum, maximum, sum by feature."""
    labels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


@dataclass(frozen=True)
class Series:
    """Events of some projects in turn: number `i` is dated `start_ms + i * step_us // 1000`."""

    projects: Mapping[str, str]
    """Their zones by name."""
    start_ms: int
    step_us: int

    def event_json(self, i: int) -> bytes:
        """Event number `i`."""
        names = tuple(self.projects)
        balance = b"" if i % 10 == 0 else b'"balance":%d,' % (i * 31 % 10_007)
        return (
            b'{"project_id":"%s","model_id":"%s","timestamp":%.3f,"latency_ms":%.2f,"y_pred":%d,'
            b'"features":{"age":%d,%s"country":"%s","active":%s}}'
            % (
                names[i % len(names)].encode(),
                MODELS[i // len(names) % 2].encode(),
                (self.start_ms + i * self.step_us // 1000) / 1000,
                i * 7919 % 1000 / 4,
                i % 2,
                i * 37 % 73,
                balance,
                COUNTRIES[i * 13 % 5].encode(),
                b"true" if i % 3 == 0 else b"false",
            )
        )

    def expected(self, numbers: np.ndarray) -> dict[ModelDay, Expected]:
        """What these events come to, by project, model and local date."""
        result: dict[ModelDay, Expected] = defaultdict(Expected)
        at_ms = self.start_ms + numbers * self.step_us // 1000
        several = len(self.projects)
        for p, (project, zone) in enumerate(self.projects.items()):
            for day, begin, end in _days(zone, int(at_ms.min()), int(at_ms.max())):
                for m, model in enumerate(MODELS):
                    chosen = (numbers % several == p) & (numbers // several % 2 == m)
                    some = numbers[chosen & (at_ms >= begin) & (at_ms < end)]
                    if some.size:
                        result[project, model, day] = _expected_of(some)
        return result


DEFAULT = Series(PROJECTS, START_MS, STEP_MS * 1000)
event_json, expected = DEFAULT.event_json, DEFAULT.expected


def added(parts: Iterable[dict[ModelDay, Expected]]) -> dict[ModelDay, Expected]:
    """What several lots of events come to together."""
    total: dict[ModelDay, Expected] = defaultdict(Expected)
    for part in parts:
        for key, one in part.items():
            have = total[key]
            have.events += one.events
            for name, numbers in one.numbers.items():
                n, low, high, amount = have.numbers.get(name, [0, np.inf, -np.inf, 0.0])
                have.numbers[name] = [
                    n + numbers[0],
                    min(low, numbers[1]),
                    max(high, numbers[2]),
                    amount + numbers[3],
                ]
            for name, labels in one.labels.items():
                have.labels[name] += labels
    return dict(total)


def _expected_of(i: np.ndarray) -> Expected:
    balance = (i * 31 % 10_007)[i % 10 != 0]
    columns = {
        "@latency_ms": i * 7919 % 1000 / 4,
        "@y_pred": i % 2,
        "age": i * 37 % 73,
        "balance": balance,
    }
    found = Expected(events=int(i.size))
    for name, values in columns.items():
        if values.size:
            found.numbers[name] = [
                int(values.size),
                float(values.min()),
                float(values.max()),
                float(values.sum()),
            ]
    countries = np.bincount(i * 13 % 5, minlength=5).tolist()
    found.labels["country"] = +Counter(dict(zip(COUNTRIES, countries, strict=True)))
    found.labels["active"] = +Counter({"true": int((i % 3 == 0).sum()), "false": int((i % 3 != 0).sum())})
    return found


def _days(zone: str, first_ms: int, last_ms: int) -> Iterator[tuple[date, float, float]]:
    rules = ZoneInfo(zone)
    day = datetime.fromtimestamp(first_ms / 1000, rules).date()
    while True:
        begin = datetime(day.year, day.month, day.day, tzinfo=rules).timestamp() * 1000
        if begin > last_ms:
            return
        following = day + timedelta(days=1)
        yield (
            day,
            begin,
            datetime(following.year, following.month, following.day, tzinfo=rules).timestamp() * 1000,
        )
        day = following


async def make_projects(database_url: str, projects: dict[str, str]) -> None:
    """Projects with the zones that they have always had."""
    connection = await asyncpg.connect(database_url)
    try:
        for project, zone in projects.items():
            await connection.execute("insert into ml_guard.project (project_id) values ($1)", project)
            await connection.execute(
                "insert into ml_guard.project_zone (project_id, effective_from, zone) values ($1, '-infinity', $2)",
                project,
                zone,
            )
    finally:
        await connection.close()


async def produce(
    kafka: str,
    topic: str,
    numbers: range,
    *,
    partitions: int = 4,
    make: Callable[[int], bytes] = event_json,
    rate: float | None = None,
) -> None:
    """Send the events, one a record, over all partitions in turn, at most `rate` a second."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    began = time.monotonic()
    try:
        batches = {partition: producer.create_batch() for partition in range(partitions)}
        for sent, number in enumerate(numbers):
            partition, value = number % partitions, make(number)
            batch = batches[partition]
            if batch.record_count() >= 500 or batch.append(key=None, value=value, timestamp=None) is None:
                await (await producer.send_batch(batch, topic, partition=partition))
                batches[partition] = batch = producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
                if rate is not None:
                    await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
        for partition, batch in batches.items():
            if batch.record_count():
                await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
