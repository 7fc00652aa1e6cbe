"""Which records are wrong on purpose, and what is the reason that each must be refused with?

Four reasons are not planted: `beyond_retention` needs a retention, which is off by default, `cap_exceeded` a project
with as many models as it may have, `label_key_missing` one with hashed labels, and `internal_error` a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import msgspec

from ml_guard.event import MAX_FEATURES
from ml_guard.replay.catalogue import Endpoint, Project
from ml_guard.replay.events import stream
from ml_guard.replay.record import PARTITIONS, Record
from ml_guard.replay.topic import FIRST_SCORED, Topic

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FUTURE = timedelta(days=3_650)
"""Far beyond every setting of how much a clock may be ahead."""
_TOO_LARGE = 1_100_000
"""Bytes; the product reads records of 1 MiB at most (ML_GUARD_MAX_RECORD_BYTES)."""


def bad_event(topic: Topic, project: Project, endpoint: Endpoint, at_us: int) -> tuple[str, bytes]:
    """One event for the middle of a good batch, and its reason: a timestamp without an offset."""
    body = _event(topic, project, endpoint, at_us)
    body["timestamp"] = _instant(at_us).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return "naive_timestamp", msgspec.json.encode(body)


def poison(topic: Topic) -> Iterator[Record]:
    """A record of every reason for every project, in the middle of the day before the origin."""
    for project in topic.projects:
        endpoint = project.endpoints[0]
        day = topic.origin[project.slug] + timedelta(days=FIRST_SCORED + 1)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
        at_us = (noon - _EPOCH) // timedelta(microseconds=1)
        slots = stream(topic, project.slug, "#poison").integers(0, PARTITIONS, 99)
        for number, (reason, value) in enumerate(_bad_records(topic, project, endpoint, at_us)):
            yield Record(value, at_us, int(slots[number]), dead=((0, reason),))


def _bad_records(
    topic: Topic, project: Project, endpoint: Endpoint, at_us: int
) -> Iterator[tuple[str, bytes]]:
    good = _event(topic, project, endpoint, at_us)

    def but(**changes: object) -> bytes:
        return msgspec.json.encode(good | changes)

    yield "invalid_json", msgspec.json.encode(good)[:-7]
    yield "invalid_json", b"\xff\xfe not text"
    yield "invalid_event", but(features=["age", 44])
    yield "invalid_event", but(features={"@y_pred": 1})
    yield "invalid_event", but(model_id="")
    yield "invalid_event", but(latency_ms=-4)
    yield "invalid_timestamp", but(timestamp="yesterday")
    yield "naive_timestamp", but(timestamp="2026-01-05T10:00:00")
    yield "future_timestamp", but(timestamp=(_instant(at_us) + _FUTURE).isoformat())
    yield "unknown_project", but(project_id=f"nobody-{topic.project_id(project)}")
    yield "record_too_large", but(features={"note": "x" * _TOO_LARGE})
    yield "too_many_features", but(features={f"f{k}": k for k in range(MAX_FEATURES + 1)})


def _event(topic: Topic, project: Project, endpoint: Endpoint, at_us: int) -> dict[str, object]:
    return {
        "project_id": topic.project_id(project),
        "model_id": endpoint.model_id,
        "endpoint": endpoint.endpoint,
        "timestamp": _instant(at_us).isoformat(),
        "features": {endpoint.features[0].name: 1},
    }


def _instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
