"""What must every day have come to, counted from the raw records in the plainest way?

It reads the bytes that were sent with Python's own `json`, works out local days with `zoneinfo`, keeps every value
in a list, and knows nothing of fences, shards, sketches or checkpoints. What it and the product share is the event
contract's text (docs/event.md), not code.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from ml_guard.replay.record import Record

MILLISECONDS_FROM = 1e11
"""docs/event.md: a number below is seconds, from it on milliseconds."""
BUILT_IN = ("latency_ms", "y_pred", "y_proba")


@dataclass(frozen=True, order=True)
class DayKey:
    """A day of one endpoint of one model."""

    project_id: str
    model_id: str
    endpoint: str
    day: date


@dataclass
class DayTruth:
    """Everything that a day of one endpoint holds.

    Attributes:
        numeric: every number of a feature, those that are none (NaN) included.
        text: how often each label of a feature and kind (categorical or boolean) came.
    """

    events: int = 0
    first: datetime | None = None
    last: datetime | None = None
    numeric: dict[str, list[float]] = field(default_factory=dict)
    text: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def numbers(self, feature: str) -> list[float]:
        """The finite numbers of a feature."""
        return [value for value in self.numeric.get(feature, []) if math.isfinite(value)]

    def labels(self, feature: str, kind: str) -> Counter[str]:
        """How often each label of a categorical or boolean feature came."""
        return self.text.get((feature, kind), Counter())

    def present(self, feature: str, kind: str) -> int:
        """Events that have a value of that kind; numbers that are not finite are missing."""
        return len(self.numbers(feature)) if kind == "numeric" else sum(self.labels(feature, kind).values())

    def non_finite(self, feature: str) -> int:
        """Numbers that are no numbers."""
        return len(self.numeric.get(feature, [])) - len(self.numbers(feature))

    def kinds(self) -> set[tuple[str, str]]:
        """Every feature with every kind that it has values of."""
        return {(feature, "numeric") for feature in self.numeric} | self.text.keys()

    def keep(self, feature: str, value: object) -> None:
        """Count one value of a feature; null equals absent."""
        if value is None:
            return
        if isinstance(value, (bool, str)):
            kind = "categorical" if isinstance(value, str) else "boolean"
            label = value if isinstance(value, str) else str(value).lower()
            self.text.setdefault((feature, kind), Counter())[label] += 1
        else:
            assert isinstance(value, (int, float))
            self.numeric.setdefault(feature, []).append(float(value))


@dataclass
class Truth:
    """The truth about all records given to it so far.

    Attributes:
        zones: the zone of every project that exists; events of others are dead letters.
        days: what each day holds.
        merged: events that count, by project and local day.
        duplicate: events of batches that came before, by project.
        dead: dead letters by (partition, offset, index), with the reason.
        decoded: all events by project, dead and duplicate ones included, where the project can be told.
    """

    zones: Mapping[str, str]
    days: dict[DayKey, DayTruth] = field(default_factory=lambda: defaultdict(DayTruth))
    merged: Counter[tuple[str, date]] = field(default_factory=Counter)
    duplicate: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    dead: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def add(self, records: Iterable[Record], positions: Sequence[tuple[int, int]] = ()) -> None:
        """Count these records, which lie at these partitions and offsets."""
        for number, record in enumerate(records):
            dead = dict(record.dead)
            for index, reason in dead.items():
                self.reasons[reason] += 1
                if positions:
                    partition, offset = positions[number]
                    self.dead[partition, offset, index] = reason
            if len(dead) == record.events:
                continue
            body = json.loads(record.value)
            events = body.get("events", [body])
            if record.repeated:
                self.duplicate[body["project_id"]] += len(events)
                continue
            for index, event in enumerate(events):
                if index not in dead:
                    self._count(event)

    def window(self, project_id: str, model_id: str, endpoint: str, days: Iterable[date]) -> DayTruth:
        """Several days of one endpoint as one."""
        whole = DayTruth()
        for day in days:
            part = self.days.get(DayKey(project_id, model_id, endpoint, day), DayTruth())
            whole.events += part.events
            for feature, numbers in part.numeric.items():
                whole.numeric.setdefault(feature, []).extend(numbers)
            for place, labels in part.text.items():
                whole.text.setdefault(place, Counter()).update(labels)
        return whole

    def _count(self, event: dict[str, object]) -> None:
        project_id = str(event["project_id"])
        at = instant(event["timestamp"])
        day = at.astimezone(ZoneInfo(self.zones[project_id])).date()
        truth = self.days[DayKey(project_id, str(event["model_id"]), str(event["endpoint"]), day)]
        truth.events += 1
        truth.first = at if truth.first is None else min(at, truth.first)
        truth.last = at if truth.last is None else max(at, truth.last)
        self.merged[project_id, day] += 1
        for name in BUILT_IN:
            truth.keep(f"@{name}", event.get(name))
        features = event["features"]
        assert isinstance(features, dict)
        for name, value in features.items():
            truth.keep(name, value)


def instant(timestamp: object) -> datetime:
    """The instant that a timestamp means.

    >>> instant(1735689600) == instant(1735689600000) == instant("2025-01-01T05:45:00+05:45")
    True
    """
    if isinstance(timestamp, str):
        return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone(timezone.utc)
    assert isinstance(timestamp, (int, float))
    milliseconds = timestamp if timestamp >= MILLISECONDS_FROM else timestamp * 1000
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=round(milliseconds))


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """The first instants whose local date is at least the day, and at least the next: looked for minute by minute.

    >>> start, end = day_bounds(date(2025, 3, 9), "America/Toronto")
    >>> (end - start).total_seconds() / 3600
    23.0
    """
    return _day_start(day, ZoneInfo(zone)), _day_start(day + timedelta(days=1), ZoneInfo(zone))


def _day_start(day: date, zone: ZoneInfo) -> datetime:
    at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(hours=26)
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=1)
    return at
