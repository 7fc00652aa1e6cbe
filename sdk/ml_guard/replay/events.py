"""Which events does one endpoint send on one local day, to the byte?

Every column has a random stream of its own, named by (seed, project, model, endpoint, day, column): any day can be
made alone, and a planted change in one feature leaves all others as they are.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from ml_guard.replay.catalogue import Endpoint, Feature, Project
from ml_guard.replay.topic import FIRST_DAY, Topic

LATE_SHARE = 0.005
"""Of a day's events, those that arrive after all others."""
CLOCK_DAY_EVENTS = 240
"""Enough that each of a day's 23 to 25 hours has some."""
_SLOT = timedelta(minutes=15)
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class SyntheticEvent:
    """One event: when it happened (microseconds since the epoch), its JSON, and whether it arrives late."""

    at_us: int
    value: bytes
    late: bool


def stream(topic: Topic, *names: str) -> np.random.Generator:
    """The random stream of that name; the same for every run of the seed, whatever else is drawn."""
    digest = hashlib.sha256("\x1f".join((str(topic.seed), *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) whose local date is the day's or later: midnight, or what the clocks made of it."""
    low = datetime.combine(day, time(), timezone.utc) - timedelta(hours=30)
    high = low + timedelta(hours=60)
    while high - low > _US:
        middle = low + (high - low) // 2 // _US * _US
        if middle.astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle
    return high


def day_events(topic: Topic, project: Project, endpoint: Endpoint, day: date) -> list[SyntheticEvent]:
    """The whole day's events in the order of their time, those after the topic's `now` included."""
    names = (project.slug, endpoint.model_id, endpoint.endpoint, day.isoformat())
    at = _instants(topic, project, endpoint, day, names)
    n = len(at)
    features = _features(topic, project, endpoint, day)
    columns: list[tuple[str, list[object]]] = []
    sampled = (
        ("y_pred", features.pop("@y_pred").sampler),
        ("y_proba", endpoint.y_proba),
        ("latency_ms", features.pop("@latency_ms").sampler if endpoint.latency else None),
    )
    for name, sampler in sampled:
        if sampler is not None:
            columns.append((name, list(sampler.sample(stream(topic, *names, "@" + name), n))))
    present = {name: _column(topic, names, feature, n) for name, feature in features.items()}
    form = stream(topic, *names, "#form").random(n)
    late = stream(topic, *names, "#late").random(n) < LATE_SHARE
    late[n // 2] = True  # one at least
    absent = stream(topic, *names, "#absent").random(n) < 0.5
    zone = ZoneInfo(project.zone)
    head = {
        "project_id": topic.project_id(project),
        "model_id": endpoint.model_id,
        "endpoint": endpoint.endpoint,
    }
    events = []
    for i, at_ms in enumerate(at):
        body: dict[str, object] = dict(head)
        body["timestamp"] = _timestamp(at_ms, form[i], zone)
        for name, values in columns:
            body[name] = values[i]
        body["features"] = {
            name: values[i] for name, values in present.items() if values[i] is not None or not absent[i]
        }
        events.append(SyntheticEvent(at_ms * 1000, _encode(body), bool(late[i])))
    return events


def _features(topic: Topic, project: Project, endpoint: Endpoint, day: date) -> dict[str, Feature]:
    """The columns as they fall on this day: the plants applied."""
    found = {feature.name: feature for feature in endpoint.features}
    found["@y_pred"] = Feature("@y_pred", endpoint.y_pred)
    if endpoint.latency is not None:
        found["@latency_ms"] = Feature("@latency_ms", endpoint.latency)
    for plant in topic.plants(project, endpoint, day):
        if plant.sampler is None:
            del found[plant.feature]
            continue
        before = found.get(plant.feature, Feature(plant.feature, plant.sampler))
        missing = before.missing if plant.missing is None else plant.missing
        found[plant.feature] = Feature(plant.feature, plant.sampler, missing, before.not_a_number)
    return found


def _column(topic: Topic, names: tuple[str, ...], feature: Feature, n: int) -> list[object]:
    values: list[object] = list(feature.sampler.sample(stream(topic, *names, feature.name), n))
    if feature.missing or feature.not_a_number:
        fate = stream(topic, *names, feature.name, "#missing").random(n)
        for i in np.nonzero(fate < feature.missing)[0]:
            values[i] = None
        for i in np.nonzero(fate > 1.0 - feature.not_a_number)[0]:
            values[i] = float("nan")
    return values


def _instants(
    topic: Topic, project: Project, endpoint: Endpoint, day: date, names: tuple[str, ...]
) -> list[int]:
    """When the day's events happened, in milliseconds, by the hours at which people are awake there."""
    zone = ZoneInfo(project.zone)
    start, end = first_instant(day, zone), first_instant(day + timedelta(days=1), zone)
    rng = stream(topic, *names, "#when")
    slots = [start + k * _SLOT for k in range(-(-(end - start) // _SLOT))]
    hours = np.array([slot.astimezone(zone).hour + slot.astimezone(zone).minute / 60 for slot in slots])
    weight = 1.0 + 0.85 * np.sin((hours - 9.0) / 24.0 * 2.0 * np.pi)
    if day in project.clock_days and topic.offset(project, day) < FIRST_DAY:
        n, weight = CLOCK_DAY_EVENTS, np.ones_like(weight)
    else:
        mean = topic.events * topic.share_of(endpoint) / (1 - FIRST_DAY)
        n = max(1, round(mean * rng.uniform(0.92, 1.08)))
    slot_ms = _SLOT // timedelta(milliseconds=1)
    start_ms, end_ms = ((at - _EPOCH) // timedelta(milliseconds=1) for at in (start, end))
    edges = np.cumsum(weight) / weight.sum()
    chosen = np.minimum(np.searchsorted(edges, rng.random(n), side="right"), len(slots) - 1)
    at = start_ms + chosen * slot_ms + rng.integers(0, slot_ms, n)
    return sorted(int(ms) for ms in np.minimum(at, end_ms - 1))


def _timestamp(at_ms: int, form: float, zone: ZoneInfo) -> str | float:
    """The instant in one of the forms that the contract takes."""
    if form < 0.05:
        return at_ms / 1000
    if form < 0.15:
        return at_ms
    at = _EPOCH + timedelta(milliseconds=at_ms)
    if form < 0.4:
        return at.astimezone(zone).isoformat(timespec="milliseconds")
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encode(body: dict[str, object]) -> bytes:
    features = body["features"]
    assert isinstance(features, dict)
    if any(value != value for value in features.values()):  # NaN, which only Python's own JSON writes
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return msgspec.json.encode(body)
