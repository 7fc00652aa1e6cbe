"""Which of these events does the bridge take? By the contract and limits that the worker holds, so both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_guard.decoding import EventDecoder
from ml_guard.errors import EventError
from ml_guard.event import Event
from ml_guard.timestamps import parse_us
from stream.days import from_us

SLICE = 1_000
"""Events judged before other requests get their turn: about 5 ms."""

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker refuses by its clock and settings."""

    event_bytes: int
    future_us: int
    retention_us: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that goes to Kafka: its bytes as they came, with a timestamp if they had none."""

    project_id: str
    raw: bytes


Verdict = Taken | EventError


async def judge(
    raws: Sequence[bytes],
    decoder: EventDecoder,
    limits: Limits,
    now_us: int,
    known_projects: Callable[[set[str]], Awaitable[set[str]]],
) -> list[Verdict]:
    """A verdict for each event, in order. `now_us`: when the request came."""
    events: list[Event | EventError] = []
    for start in range(0, len(raws), SLICE):
        events += [_decode(raw, decoder, limits, now_us) for raw in raws[start : start + SLICE]]
        await asyncio.sleep(0)
    names = {event.project_id for event in events if isinstance(event, Event)}
    known = await known_projects(names) if names else set()
    now = from_us(now_us)
    return [
        event
        if isinstance(event, EventError)
        else _unknown(event.project_id)
        if event.project_id not in known
        else Taken(event.project_id, stamped(raw, now) if event.timestamp is None else raw)
        for raw, event in zip(raws, events, strict=True)
    ]


def _decode(raw: bytes, decoder: EventDecoder, limits: Limits, now_us: int) -> Event | EventError:
    if len(raw) > limits.event_bytes:
        return EventError("record_too_large", f"larger than {limits.event_bytes} bytes")
    try:
        event = decoder.event(raw)
        if event.timestamp is not None:
            _check_time(parse_us(event.timestamp), limits, now_us)
    except EventError as error:
        return error
    return event


def _check_time(at_us: int, limits: Limits, now_us: int) -> None:
    if at_us > now_us + limits.future_us:
        raise EventError("future_timestamp", f"{from_us(at_us).isoformat()} lies too far ahead", "timestamp")
    if limits.retention_us is not None and at_us < now_us - limits.retention_us:
        raise EventError(
            "beyond_retention", f"{from_us(at_us).isoformat()} is older than what is kept", "timestamp"
        )


def _unknown(project_id: str) -> EventError:
    return EventError(
        "unknown_project", f"there is no project {project_id!r}, or the key is not for it", "project_id"
    )


def stamped(raw: bytes, instant: datetime) -> bytes:
    """The event with this timestamp behind its last member: of two members `timestamp`, one of them null, the last counts.

    >>> stamped(b'{"model_id":"m"} ', from_us(0))
    b'{"model_id":"m","timestamp":"1970-01-01T00:00:00Z"}'
    """
    return raw.rstrip()[:-1] + b',"timestamp":"%b"}' % instant.isoformat().replace("+00:00", "Z").encode()
