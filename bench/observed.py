"""What does the database hold of the events that were sent, and does it equal what was expected?"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import asyncpg

from bench.events import Expected, ModelDay
from stream.sketches import CategorySketch


async def observe(connection: asyncpg.Connection[Any]) -> dict[ModelDay, Expected]:
    """All state, merged over shards."""
    found: dict[ModelDay, Expected] = defaultdict(Expected)
    for row in await connection.fetch(
        """select project_id, model_id, day, feature, kind, n, minimum, maximum, mean, sketch
             from ml_guard.day_sketch"""
    ):
        key: tuple[str, str, date] = (row["project_id"], row["model_id"], row["day"])
        state = found[key]
        if row["kind"] == "events":
            state.events += row["n"]
        elif row["kind"] == "numeric":
            total = row["mean"] * row["n"]
            known = state.numbers.get(row["feature"])
            if known is None:
                state.numbers[row["feature"]] = [row["n"], row["minimum"], row["maximum"], total]
            else:
                known[0] += row["n"]
                known[1] = min(known[1], row["minimum"])
                known[2] = max(known[2], row["maximum"])
                known[3] += total
        else:
            items = CategorySketch.from_bytes(row["sketch"]).items()
            state.labels[row["feature"]] += Counter({item.label: item.estimate for item in items})
    return dict(found)


def differences(wanted: dict[ModelDay, Expected], found: dict[ModelDay, Expected]) -> list[str]:
    """Every way in which they are not equal; sums to 1e-9, all else exactly."""
    wrong = []
    for key in sorted(wanted.keys() | found.keys()):
        want, have = wanted.get(key, Expected()), found.get(key, Expected())
        if want.events != have.events:
            wrong.append(f"{key}: {have.events} events, expected {want.events}")
        for name in want.numbers.keys() | have.numbers.keys():
            a, b = want.numbers.get(name, [0, 0, 0, 0]), have.numbers.get(name, [0, 0, 0, 0])
            if a[:3] != b[:3] or abs(a[3] - b[3]) > 1e-9 * max(abs(a[3]), 1):
                wrong.append(f"{key} {name}: {b}, expected {a}")
        for name in want.labels.keys() | have.labels.keys():
            if want.labels.get(name, Counter()) != have.labels.get(name, Counter()):
                wrong.append(f"{key} {name}: {have.labels.get(name)}, expected {want.labels.get(name)}")
    return wrong


async def imbalances(connection: asyncpg.Connection[Any]) -> list[str]:
    """Where one of the two ledgers does not balance, or the traffic has not as many requests as there were events."""
    wrong = []
    for row in await connection.fetch(
        """select topic, "partition", next_offset - first_offset as passed,
                  records_decoded + records_dead + records_duplicate + records_lost + records_empty as counted
             from ml_guard.stream_fence"""
    ):
        if row["passed"] != row["counted"]:
            wrong.append(
                f"partition {row['partition']}: {row['passed']} offsets passed, {row['counted']} counted"
            )
    for row in await connection.fetch(
        """with merged as (
               select project_id, day_start, sum(n) as n from ml_guard.day_sketch
                where kind = 'events' group by 1, 2),
           counted as (
               select project_id, day_start, sum(decoded) - sum(dead) - sum(duplicate) - sum(deleted) as n
                 from ml_guard.ledger_day group by 1, 2)
           select project_id, day_start, coalesce(merged.n, 0) as merged, coalesce(counted.n, 0) as counted
             from merged full join counted using (project_id, day_start)
            where coalesce(merged.n, 0) <> coalesce(counted.n, 0)"""
    ):
        wrong.append(
            f"{row['project_id']} {row['day_start']}: merged {row['merged']}, ledger {row['counted']}"
        )
    events = await connection.fetchval(
        "select coalesce(sum(n), 0) from ml_guard.day_sketch where kind = 'events'"
    )
    requests = await connection.fetchval("select coalesce(sum(requests), 0) from ml_guard.traffic_minute")
    if events != requests:
        wrong.append(f"{requests} requests in traffic_minute, {events} events in day_sketch")
    return wrong
