"""What is the next step of a project-day on its way to being closed?

    open, T not come     wait
    open, T come         note the barrier: at once if events were seen before T, else once the day is quiet
    closing              close when every fence has passed the barrier; without its stopped partitions after `blocked_s`
    closed, reopened     note a new barrier once it is quiet: one restatement, however many events
    closed, incomplete   close again, whole, as soon as the fences have passed the barrier that they stood before

T is day_end + grace. Quiet is `settle_s` without a change, or `settle_longest_s` since the first. A barrier is the
end offset of every partition at or after T, so events of other days, future ones too, close nothing, an idle
partition has passed it already, and backpressure only delays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from stream.settings import Settings
from stream.store.closing import Fence, ProjectDay


class Step(Enum):
    """What to do with a project-day."""

    WAIT = "wait"
    NOTE_BARRIER = "note barrier"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Decision:
    """A step, and for a close the partitions that it goes without."""

    step: Step
    blocked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How long to wait for what."""

    grace: timedelta = timedelta(seconds=60)
    settle: timedelta = timedelta(seconds=5)
    settle_longest: timedelta = timedelta(seconds=300)
    blocked: timedelta = timedelta(seconds=3600)

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """As the operator has set them."""
        return cls(
            timedelta(seconds=settings.grace_s),
            timedelta(seconds=settings.settle_s),
            timedelta(seconds=settings.settle_longest_s),
            timedelta(seconds=settings.blocked_s),
        )


WAIT = Decision(Step.WAIT)
NOTE_BARRIER = Decision(Step.NOTE_BARRIER)
CLOSE = Decision(Step.CLOSE)


def next_step(day: ProjectDay, now: datetime, fences: Mapping[int, Fence], rules: Rules) -> Decision:
    """The next step of a project-day, from its row, the time and the fences."""
    if day.status == "closing":
        return _close_or_wait(day, now, fences, rules)
    if day.status == "open":
        due_at = day.day_end + rules.grace
        if now < due_at:
            return WAIT
        first_seen_at = day.first_seen_at or due_at
        if first_seen_at < due_at or _settled(first_seen_at, day.last_change_at, now, rules):
            return NOTE_BARRIER
        return WAIT
    if day.reopened_at is not None:
        return NOTE_BARRIER if _settled(day.reopened_at, day.last_change_at, now, rules) else WAIT
    if not day.complete and not behind(day.barrier, fences):
        return CLOSE
    return WAIT


def behind(barrier: Mapping[int, int], fences: Mapping[int, Fence]) -> tuple[int, ...]:
    """The partitions whose fence has not passed the barrier."""
    return tuple(
        partition
        for partition, offset in sorted(barrier.items())
        if offset > (fences[partition].next_offset if partition in fences else 0)
    )


def _close_or_wait(day: ProjectDay, now: datetime, fences: Mapping[int, Fence], rules: Rules) -> Decision:
    late = behind(day.barrier, fences)
    if not late:
        return CLOSE
    if not all(_stopped(fences.get(partition), now, rules) for partition in late):
        return WAIT
    known = set(late) <= set(day.blocked_partitions)
    waited = day.barrier_at is not None and now - day.barrier_at >= rules.blocked
    return Decision(Step.CLOSE, late) if known or waited else WAIT


def _stopped(fence: Fence | None, now: datetime, rules: Rules) -> bool:
    """Whether nobody is at the partition: it was stopped, never claimed, or shows no sign of life."""
    if fence is None or fence.stopped_reason is not None:
        return True
    return fence.heartbeat_at is not None and now - fence.heartbeat_at >= rules.blocked


def _settled(since: datetime, last_change_at: datetime | None, now: datetime, rules: Rules) -> bool:
    quiet_since = since if last_change_at is None else max(since, last_change_at)
    return now - quiet_since >= rules.settle or now - since >= rules.settle_longest
