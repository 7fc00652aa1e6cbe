"""The way of a project-day to its close, as tables of numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from stream.closing.steps import CLOSE, NOTE_BARRIER, WAIT, Decision, Step, next_step
from stream.store.closing import Fence, ProjectDay, ProjectDayKey
from tests.closing.world import RULES, at

T = at("2025-01-11T00:01:00")
OPEN = ProjectDay(
    ProjectDayKey("shop", at("2025-01-10T00:00")), date(2025, 1, 10), at("2025-01-11T00:00"), "UTC"
)
SEEN = replace(OPEN, first_seen_at=at("2025-01-10T09:00"))
BACKFILLED = replace(OPEN, first_seen_at=T + timedelta(days=30))
CLOSED = replace(SEEN, status="closed", revision=1, barrier={0: 10, 1: 10}, barrier_at=T)
REOPENED = replace(CLOSED, reopened_at=T + timedelta(hours=1), last_change_at=T + timedelta(hours=1))
CLOSING = replace(SEEN, status="closing", barrier={0: 10, 1: 20}, barrier_at=T)
INCOMPLETE = replace(CLOSED, complete=False, blocked_partitions=(1,))


def after(**span: float) -> datetime:
    return T + timedelta(**span)


def changed(day: ProjectDay, **span: float) -> ProjectDay:
    return replace(day, last_change_at=T + timedelta(**span))


@pytest.mark.parametrize(
    ("day", "now", "expected"),
    [
        (SEEN, after(seconds=-1), WAIT),
        (SEEN, T, NOTE_BARRIER),
        (changed(SEEN, seconds=-0.1), T, NOTE_BARRIER),  # no quiet is asked of a day that ends
        (BACKFILLED, after(days=30, seconds=4.9), WAIT),
        (BACKFILLED, after(days=30, seconds=5), NOTE_BARRIER),
        (changed(BACKFILLED, days=30, seconds=3), after(days=30, seconds=7.9), WAIT),
        (changed(BACKFILLED, days=30, seconds=3), after(days=30, seconds=8), NOTE_BARRIER),
        (changed(BACKFILLED, days=30, seconds=299), after(days=30, seconds=299.9), WAIT),
        (changed(BACKFILLED, days=30, seconds=299), after(days=30, seconds=300), NOTE_BARRIER),
        (CLOSED, after(days=1), WAIT),
        (REOPENED, after(hours=1, seconds=4.9), WAIT),
        (REOPENED, after(hours=1, seconds=5), NOTE_BARRIER),
        (changed(REOPENED, hours=1, seconds=299), after(hours=1, seconds=300), NOTE_BARRIER),
    ],
)
def test_a_barrier_is_noted_at_its_time(day: ProjectDay, now: datetime, expected: Decision) -> None:
    assert next_step(day, now, {}, RULES) == expected


def fence(offset: int, *, heard: datetime = T, stopped: str | None = None) -> Fence:
    return Fence(offset, heard, stopped)


@pytest.mark.parametrize(
    ("day", "now", "fences", "expected"),
    [
        (CLOSING, T, {0: fence(10), 1: fence(20)}, CLOSE),
        (CLOSING, T, {0: fence(11), 1: fence(99), 2: fence(0)}, CLOSE),
        (CLOSING, T, {0: fence(10), 1: fence(19)}, WAIT),
        (CLOSING, after(hours=5), {0: fence(10), 1: fence(19, heard=after(hours=5))}, WAIT),
        (CLOSING, after(minutes=59), {0: fence(10), 1: fence(19, stopped="why")}, WAIT),
        (CLOSING, after(minutes=60), {0: fence(10), 1: fence(19, stopped="why")}, Decision(Step.CLOSE, (1,))),
        (
            CLOSING,
            after(minutes=60),
            {0: fence(10), 1: fence(19)},
            Decision(Step.CLOSE, (1,)),
        ),  # no sign of life
        (CLOSING, after(minutes=60), {0: fence(10)}, Decision(Step.CLOSE, (1,))),
        (
            CLOSING,
            after(minutes=60),
            {0: fence(9, heard=after(minutes=60)), 1: fence(0, stopped="why")},
            WAIT,
        ),
        (
            replace(CLOSING, blocked_partitions=(1,)),  # known from the revision before
            after(seconds=1),
            {0: fence(10), 1: fence(19, stopped="why")},
            Decision(Step.CLOSE, (1,)),
        ),
        (replace(CLOSING, barrier={0: 10, 3: 0}), T, {0: fence(10)}, CLOSE),  # empty, never claimed
        (INCOMPLETE, after(hours=9), {0: fence(10), 1: fence(9)}, WAIT),
        (INCOMPLETE, after(hours=9), {0: fence(10), 1: fence(10)}, CLOSE),
    ],
)
def test_a_day_closes_when_the_fences_allow(
    day: ProjectDay, now: datetime, fences: dict[int, Fence], expected: Decision
) -> None:
    assert next_step(day, now, fences, RULES) == expected
