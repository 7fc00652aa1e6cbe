"""How often would a policy have fired over the stored past?

The same judgements as the running product's, one day or five minutes after the other. Only final results are kept,
so what the open day looked like in between is not tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from stream.alerting.costs import ProjectCosts, judge_costs, midnight
from stream.alerting.findings import HISTORY, Finding, ModelDay, judge
from stream.alerting.policies import CONDITIONS, Policy, PolicyBook, Subject
from stream.alerting.timed import COST_DAYS, LOOKS_BACK, judge_ledger, judge_traffic
from stream.alerting.traffic import Span
from stream.days import Calendar, to_us
from stream.store.alert_facts import (
    ModelTraffic,
    read_calendars,
    read_costs,
    read_days,
    read_gaps,
    read_minutes,
    read_subjects,
)
from stream.store.pool import Connection

MODELS_MOST = 50
"""Models looked through in one try-out; a policy for more is tried on these."""
STEP = timedelta(minutes=5)
NAME = "tried"


@dataclass(frozen=True, slots=True)
class Fired:
    """An episode that there would have been; `until` None: to this day."""

    subject: Subject
    since: datetime
    opened_at: datetime
    until: datetime | None
    headline: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A model of which the policy cannot say anything now, and why."""

    subject: Subject
    reason: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try-out came to."""

    models: int
    left_out: int
    fired: tuple[Fired, ...]
    unknown: tuple[Unjudged, ...]


async def try_policy(
    connection: Connection, policy: Policy, project_ids: Sequence[str] | None, now: datetime, past_days: int
) -> Tried:
    """Try a policy over the last days, on models of these projects (None: of all)."""
    tried = replace(policy, name=NAME, enabled=True)
    book = PolicyBook([tried])
    since = now - timedelta(days=past_days)
    calendars = await read_calendars(connection)
    if tried.condition == "ledger":
        return await _ledger(connection, book, tried, calendars, project_ids, since)
    if tried.condition == "cost":
        return _costs(tried, await read_costs(connection, (since - COST_DAYS).date(), project_ids), since)
    subjects = [
        subject
        for subject in await read_subjects(connection, project_ids)
        if subject.project_id in calendars and tried.fits(subject, tried.feature)
    ]
    fired: list[Fired] = []
    unknown: list[Unjudged] = []
    for subject in subjects[:MODELS_MOST]:
        if CONDITIONS[tried.condition].on_closed_days:
            days = await read_days(connection, subject, since - HISTORY, now)
            closed = [day for day in days if not day.is_open]
            fired += _over_days(book, tried, subject, calendars[subject.project_id], closed, since)
        else:
            minutes = await read_minutes(connection, subject, since - LOOKS_BACK, now)
            calendar = calendars[subject.project_id]
            episodes, reason = await asyncio.to_thread(
                _over_minutes, book, subject, calendar, minutes, (since, now)
            )
            fired += episodes
            unknown += [Unjudged(subject, reason)] if reason else []
    left_out = max(0, len(subjects) - MODELS_MOST)
    return Tried(len(subjects) - left_out, left_out, tuple(fired), tuple(unknown))


class _Episodes:
    """Findings one after the other, as episodes."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.closed: list[Fired] = []
        self._open: Fired | None = None

    def take(self, finding: Finding | None, is_over: bool, at: datetime) -> None:
        if finding is not None:
            opened = finding.since if self._open is None else self._open.since
            began = at if self._open is None else self._open.opened_at
            self._open = Fired(self._subject, opened, began, None, finding.what)
        elif is_over and self._open is not None:
            self.closed.append(replace(self._open, until=at))
            self._open = None

    @property
    def all(self) -> list[Fired]:
        return self.closed if self._open is None else [*self.closed, self._open]


def _over_days(
    book: PolicyBook,
    policy: Policy,
    subject: Subject,
    calendar: Calendar,
    days: Sequence[ModelDay],
    since: datetime,
) -> list[Fired]:
    episodes = _Episodes(subject)
    for index, day in enumerate(days):
        ended_at = calendar.day_of(to_us(day.day_start)).end
        if ended_at > since:
            finding = judge(NAME, policy.condition, book, subject, days[: index + 1])
            episodes.take(finding, True, ended_at)
    return episodes.all


def _over_minutes(
    book: PolicyBook,
    subject: Subject,
    calendar: Calendar,
    minutes: tuple[np.ndarray, np.ndarray],
    window: Span,
) -> tuple[list[Fired], str]:
    """Episodes, and why nothing can be said at the end, if so. `minutes`: epoch seconds, and requests."""
    starts, counts = minutes
    if not len(starts):
        return [], "the model had no request"
    requests = _requests(starts, counts)
    first_at = _instant(starts[0])
    episodes = _Episodes(subject)
    at = window[0].replace(second=0, microsecond=0)
    unknown = ""
    while at <= window[1]:
        before = int(np.searchsorted(starts, at.timestamp()))
        if before:
            last_at = _instant(starts[before - 1]) + timedelta(minutes=1)
            model = ModelTraffic(subject, first_at, last_at)
            judgement = judge_traffic(book, NAME, model, calendar, at, requests)
            episodes.take(judgement.finding, bool(judgement.over), at)
            unknown = judgement.unknown
        at += STEP
    return episodes.all, unknown


def _requests(starts: np.ndarray, counts: np.ndarray) -> Callable[[Span], int]:
    total = np.concatenate(([0], np.cumsum(counts)))

    def requests(span: Span) -> int:
        begin, end = np.searchsorted(starts, [span[0].timestamp(), span[1].timestamp()])
        return int(total[end] - total[begin])

    return requests


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


async def _ledger(
    connection: Connection,
    book: PolicyBook,
    policy: Policy,
    calendars: dict[str, Calendar],
    project_ids: Sequence[str] | None,
    since: datetime,
) -> Tried:
    fired = []
    projects = {name for name in calendars if policy.fits(Subject(name))}
    for gap in await read_gaps(connection, since, project_ids):
        subject = Subject(gap.project_id)
        if gap.project_id in projects:
            finding = judge_ledger(book, NAME, subject, [gap], calendars[gap.project_id])
            if finding is not None:
                fired.append(Fired(subject, finding.since, finding.since, None, finding.what))
    return Tried(0, 0, tuple(fired), ())


def _costs(policy: Policy, known: Mapping[str, ProjectCosts], since: datetime) -> Tried:
    fired: list[Fired] = []
    unknown: list[Unjudged] = []
    for project_id, costs in known.items():
        subject = Subject(project_id)
        if not policy.fits(subject):
            continue
        episodes = _Episodes(subject)
        for index, day in enumerate(costs.days):
            ended_at = midnight(day.day) + timedelta(days=1)
            if ended_at > since:
                judgement = judge_costs(policy, ProjectCosts(costs.currency, costs.days[: index + 1]))
                episodes.take(judgement.finding, bool(judgement.over), ended_at)
        fired += episodes.all
        if not costs.days:
            unknown.append(Unjudged(subject, judge_costs(policy, costs).unknown))
    return Tried(0, 0, tuple(fired), tuple(unknown))
