"""Which events do the benches and the fault tests send, and what must come out?

Every event is a function of its number, so that the expected result needs no memory of what was sent and imports
nothing of `stream`: `expected` adds up the same numbers with numpy.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
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


def event_json(i: int) -> bytes:
    """Event number `i`."""
    project = tuple(PROJECTS)[i % 2]
    at = (START_MS + i * STEP_MS) / 1000
    balance = b"" if i % 10 == 0 else b'"balance":%d,' % (i * 31 % 10_007)
    return (
        b'{"project_id":"%s","model_id":"%s","timestamp":%.3f,"latency_ms":%.2f,"y_pred":%d,'
        b'"features":{"age":%d,%s"country":"%s","active":%s}}'
        % (
            project.encode(),
            MODELS[i // 2 % 2].encode(),
            at,
            i * 7919 % 1000 / 4,
            i % 2,
            i * 37 % 73,
            balance,
            COUNTRIES[i * 13 % 5].encode(),
            b"true" if i % 3 == 0 else b"false",
        )
    )


def expected(numbers: np.ndarray) -> dict[ModelDay, Expected]:
    """What these events come to, by project, model and local date."""
    result: dict[ModelDay, Expected] = defaultdict(Expected)
    at_ms = START_MS + numbers * STEP_MS
    for p, (project, zone) in enumerate(PROJECTS.items()):
        for day, begin, end in _days(zone, int(at_ms.min()), int(at_ms.max())):
            for m, model in enumerate(MODELS):
                chosen = (numbers % 2 == p) & (numbers // 2 % 2 == m) & (at_ms >= begin) & (at_ms < end)
                some = numbers[chosen]
                if some.size:
                    result[project, model, day] = _expected_of(some)
    return result


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
    found.labels["country"] = Counter([COUNTRIES[k] for k in (i * 13 % 5).tolist()])
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
