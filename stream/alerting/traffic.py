"""Has a model gone silent, or is a batch late? Plain functions of request counts and a time, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from stream.alerting.findings import Finding
from stream.alerting.policies import Policy
from stream.days import Calendar, load_zone, to_us

Span = tuple[datetime, datetime]
Requests = Callable[[Span], int]
"""Requests in [begin, end)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, if anything. `over` says why what was found before has ended, `unknown` why nothing can be said."""

    finding: Finding | None = None
    over: str = ""
    unknown: str = ""


AGAIN = "there are requests again"
FOR_A_WEEK = "it has been silent for a week, no requests are expected any more"


def earlier(at: datetime, days: int, zone: str) -> datetime:
    """The same local time so many days before.

    >>> earlier(datetime(2025, 11, 3, 15, tzinfo=UTC), 7, "America/Toronto").hour  # the clocks went back in between
    14
    """
    return (at.astimezone(load_zone(zone)) - timedelta(days=days)).astimezone(UTC)


def spans(at: datetime, minutes: int, zone: str) -> tuple[Span, Span, Span]:
    """The last minutes, the same a day before, and the same a week before."""
    width = timedelta(minutes=minutes)
    ends = (at, earlier(at, 1, zone), earlier(at, 7, zone))
    return (ends[0] - width, ends[0]), (ends[1] - width, ends[1]), (ends[2] - width, ends[2])


def judge_silence(
    policy: Policy, at: datetime, zone: str, first_at: datetime, last_at: datetime | None, requests: Requests
) -> Judgement:
    """Whether a model that should have requests has none.

    Parameters
    ----------
    at : datetime
        Up to when everything is known.
    first_at, last_at : datetime
        The model's first request, and its last before `at`.
    """
    now, yesterday, last_week = spans(at, policy.minutes, zone)
    least = policy.threshold or 1.0
    if first_at <= last_week[0]:
        compared, words, note = last_week, "a week before", ""
    elif first_at <= yesterday[0]:
        compared, words = yesterday, "the day before"
        note = "The model is in its first week: compared with yesterday instead of last week."
    else:
        return Judgement(
            unknown="the model is younger than a day: there is nothing to compare its traffic with"
        )
    if requests(now):
        return Judgement(over=AGAIN)
    if last_at is not None and last_at <= last_week[1]:
        return Judgement(over=FOR_A_WEEK)
    usual = requests(compared)
    if usual < least:  # a quiet hour: nothing is found, and what was found before is not over
        return Judgement()
    since = now[0] if last_at is None else min(last_at, now[0])
    what = f"no request for {policy.minutes} minutes, {usual:,} in the same minutes {words}"
    return Judgement(Finding(policy, what, since, zone, value=0.0, bound=float(usual), note=note))


def judge_expected(policy: Policy, at: datetime, calendar: Calendar, requests: Requests) -> Judgement:
    """Whether a batch that should have come by a local time has not."""
    if policy.local_time is None:
        return Judgement(unknown="the policy has no `local_time`")
    day = calendar.day_of(to_us(at))
    due_at = datetime.combine(day.day, time.fromisoformat(policy.local_time), load_zone(day.zone))
    if requests((day.start, at)):
        return Judgement(over=AGAIN)
    if at < due_at:
        return Judgement()
    what = f"no event of {day.day} by {policy.local_time}"
    return Judgement(Finding(policy, what, due_at.astimezone(UTC), day.zone, day=day.day, value=0.0))
