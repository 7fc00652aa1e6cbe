"""Which Kafka records carry the synthetic events, with the duplicates, the late and the poisonous among them?

Three phases, sent one after another: `baseline` (the clean days and those with changed clocks), `scored` (the days
after), and `late`, which is sent when the past days have closed, so that it restates one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from ml_guard.event import encode_batch
from ml_guard.replay.catalogue import Endpoint, Project
from ml_guard.replay.events import SyntheticEvent, day_events, stream
from ml_guard.replay.poison import bad_event, poison
from ml_guard.replay.record import PARTITIONS, Record
from ml_guard.replay.topic import FIRST_SCORED, Topic

Phase = Literal["baseline", "scored", "late"]
PHASES: tuple[Phase, ...] = ("baseline", "scored", "late")

BATCH = 100
"""Events of one batch record: large enough to be worth one, far below the record's limit."""
REPEATED = 3
"""Batch records of an endpoint's day that are sent a second time."""
RETRY_AFTER_US = 3_600_000_000
"""How much later than the first copy the second is sent, in the events' time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def make_records(topic: Topic, phase: Phase, skip: frozenset[tuple[str, date]] = frozenset()) -> list[Record]:
    """The records of a phase in the order in which they are sent; `skip` leaves out days by (slug, day)."""
    found: list[Record] = []
    for project, endpoint in topic.endpoints():
        for day in _days(topic, project, phase):
            if (project.slug, day) not in skip:
                found.extend(_day_records(topic, project, endpoint, day, phase))
    if phase == "scored" and not topic.batched:
        found.extend(poison(topic))
    return sorted(found, key=lambda record: (record.at_us, record.value))


def now_us(topic: Topic) -> int:
    """The topic's last instant, in microseconds."""
    return (topic.now - _EPOCH) // timedelta(microseconds=1)


def late_day(topic: Topic, project: Project) -> date:
    """The day whose late events arrive after it has closed."""
    return topic.scored_days(project)[0]


def _days(topic: Topic, project: Project, phase: Phase) -> list[date]:
    if phase == "baseline":
        return topic.clock_days(project) + topic.baseline_days(project)
    return topic.scored_days(project) if phase == "scored" else [late_day(topic, project)]


def _day_records(
    topic: Topic, project: Project, endpoint: Endpoint, day: date, phase: Phase
) -> Iterator[Record]:
    events = day_events(topic, project, endpoint, day)
    now = now_us(topic)
    held_back = topic.offset(project, day) == FIRST_SCORED
    late = [event for event in events if event.late]
    prompt = [event for event in events if not event.late]
    if phase == "late":
        yield from _batches(topic, project, endpoint, day, "late", late)
        return
    if topic.batched or endpoint.latency is None:
        yield from _batches(topic, project, endpoint, day, "prompt", prompt)
    else:
        names = (project.slug, endpoint.model_id, endpoint.endpoint, day.isoformat())
        slots = stream(topic, *names, "#slot").integers(0, PARTITIONS, len(prompt))
        for event, slot in zip(prompt, slots, strict=True):
            if event.at_us <= now:
                yield Record(event.value, event.at_us, int(slot))
    last = events[-1].at_us
    if not held_back and last <= now:
        behind = [SyntheticEvent(last, event.value, True) for event in late]
        yield from _batches(topic, project, endpoint, day, "late", behind)


def _batches(
    topic: Topic,
    project: Project,
    endpoint: Endpoint,
    day: date,
    name: Literal["prompt", "late"],
    events: list[SyntheticEvent],
) -> Iterator[Record]:
    """Batch records; one that is not over at the topic's `now` stays away whole, so that its contents never change."""
    batch_id = f"{topic.seed}/{endpoint.model_id}/{endpoint.endpoint}/{day.isoformat()}/{name}"
    project_id, now = topic.project_id(project), now_us(topic)
    rng = stream(topic, project.slug, batch_id, "#slot")
    for part, begin in enumerate(range(0, len(events), BATCH)):
        chunk = events[begin : begin + BATCH]
        if chunk[-1].at_us > now:
            return
        values = [event.value for event in chunk]
        dead: tuple[tuple[int, str], ...] = ()
        if part == 1 and topic.offset(project, day) == FIRST_SCORED + 1:
            reason, value = bad_event(topic, project, endpoint, chunk[0].at_us)
            dead = ((len(values) // 2, reason),)
            values.insert(len(values) // 2, value)
        record = encode_batch(values, project_id=project_id, batch_id=batch_id, part=part)
        slot = int(rng.integers(PARTITIONS))
        at_us = chunk[-1].at_us
        yield Record(record, at_us, slot, len(values), dead)
        if part < REPEATED and name == "prompt" and not dead and not topic.batched:
            # A client's retry may go to another partition, and so to another worker; either may be the first.
            yield Record(record, at_us + RETRY_AFTER_US, slot + 1, len(values), repeated=True)
