"""What does time alone decide: silence, batches that are late, a ledger that does not balance, costs?

Silence is judged up to an instant of which everything is folded: the end offsets are noted, and once every fence has
passed them, what was sent up to then has been counted. A backlog is therefore never taken for silence.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from stream.alerting.costs import judge_costs, midnight
from stream.alerting.findings import Finding
from stream.alerting.policies import PolicyBook, Subject
from stream.alerting.round import Round
from stream.alerting.traffic import Judgement, Requests, Span, judge_expected, judge_silence, spans
from stream.closing.steps import behind
from stream.days import Calendar, to_us
from stream.store.alert_facts import (
    LedgerGap,
    ModelTraffic,
    read_calendars,
    read_costs,
    read_gaps,
    read_models,
    read_requests,
)
from stream.store.closing import read_fences
from stream.store.pool import Connection

log = logging.getLogger(__name__)

LOOKS_BACK = timedelta(days=8)
LEDGER_DAYS = timedelta(days=7)
COST_DAYS = timedelta(days=31)
"""The longest row of days that a policy takes the mean of (14) before each of the latest, and two weeks without a pull."""


@dataclass
class TimedJudge:
    """Judges what no result of a day shows."""

    end_offsets: Callable[[], Awaitable[Mapping[int, int]]]
    topic: str
    young: timedelta
    _barrier: tuple[datetime, dict[int, int]] | None = None
    _said: dict[tuple[Subject, str], str] = field(default_factory=dict)

    async def judge(self, connection: Connection, round_: Round, book: PolicyBook, now: datetime) -> None:
        """Tell the round what is found and what is over."""
        calendars = await read_calendars(connection)
        await self._judge_ledger(connection, round_, book, calendars, now)
        await self._judge_costs(connection, round_, book, calendars, now)
        known_until = await self._known_until(connection, now)
        if known_until is not None:
            await self._judge_traffic(connection, round_, book, calendars, known_until)

    async def _known_until(self, connection: Connection, now: datetime) -> datetime | None:
        """The latest minute up to which every event is folded; None: it cannot be told yet."""
        known = None
        if self._barrier is not None:
            at, offsets = self._barrier
            if behind(offsets, await read_fences(connection, self.topic)):
                return None
            known = at.replace(second=0, microsecond=0)
        try:
            self._barrier = (now, dict(await self.end_offsets()))
        except Exception as error:  # a broker that is away: nothing can be said about traffic
            log.warning("no end offsets, traffic is not judged for now: %s", error)
            self._barrier = None
            return None
        return known

    async def _judge_traffic(
        self,
        connection: Connection,
        round_: Round,
        book: PolicyBook,
        calendars: Mapping[str, Calendar],
        at: datetime,
    ) -> None:
        models = [
            model
            for model in await read_models(connection, at - LOOKS_BACK, at)
            if model.subject.project_id in calendars
        ]
        names = [name for name in book.names if book.conditions(name) & {"silence", "expected_by"}]
        asked = [
            (model.subject, span)
            for model in models
            for name in names
            for span in asked_spans(book, name, model.subject, calendars[model.subject.project_id], at)
        ]
        requests = await read_requests(connection, list(dict.fromkeys(asked)))
        for model in models:
            calendar = calendars[model.subject.project_id]
            for name in names:
                of = partial(_requests_of, requests, model.subject)
                self._tell(round_, model.subject, name, judge_traffic(book, name, model, calendar, at, of))

    def _tell(self, round_: Round, subject: Subject, name: str, judgement: Judgement) -> None:
        if judgement.finding is not None:
            round_.found(subject, judgement.finding)
        elif judgement.over:
            round_.over(subject, name, judgement.over)
        if judgement.unknown and self._said.get((subject, name)) != judgement.unknown:
            log.info("policy %s cannot judge %s: %s", name, "/".join(subject), judgement.unknown)
        self._said[subject, name] = judgement.unknown

    async def _judge_ledger(
        self,
        connection: Connection,
        round_: Round,
        book: PolicyBook,
        calendars: Mapping[str, Calendar],
        now: datetime,
    ) -> None:
        names = [name for name in book.names if "ledger" in book.conditions(name)]
        gaps: dict[str, list[LedgerGap]] = {}
        for gap in await read_gaps(connection, now - LEDGER_DAYS):
            gaps.setdefault(gap.project_id, []).append(gap)
        for name in names:
            for project_id in calendars:
                subject = Subject(project_id)
                found = judge_ledger(book, name, subject, gaps.get(project_id, ()), calendars[project_id])
                if found is not None:
                    round_.found(subject, found)
                elif round_.is_open(subject, name):
                    round_.over(subject, name, "every event of the last 7 days is accounted for")

    async def _judge_costs(
        self,
        connection: Connection,
        round_: Round,
        book: PolicyBook,
        projects: Iterable[str],
        now: datetime,
    ) -> None:
        names = [name for name in book.names if "cost" in book.conditions(name)]
        if not names:
            return
        known = await read_costs(connection, (now - COST_DAYS).date())
        for name in names:
            for project_id in projects:
                subject = Subject(project_id)
                policy = book.of(name, subject)
                if policy is None or policy.condition != "cost":
                    continue
                if project_id not in known:
                    round_.over(subject, name, "no filter says any more which costs are the project's")
                    continue
                judgement = judge_costs(policy, known[project_id])
                if (found := judgement.finding) is not None and found.day is not None:
                    ended = midnight(found.day) + timedelta(days=1)
                    round_.found(subject, found, may_open=ended > now - self.young)
                else:
                    self._tell(round_, subject, name, judgement)


def asked_spans(
    book: PolicyBook, name: str, subject: Subject, calendar: Calendar, at: datetime
) -> tuple[Span, ...]:
    """The spans whose requests `judge_traffic` asks for."""
    policy = book.of(name, subject)
    if policy is None:
        return ()
    day = calendar.day_of(to_us(at))
    if policy.condition == "expected_by":
        return ((day.start, at),)
    return spans(at, policy.minutes, day.zone) if policy.condition == "silence" else ()


def judge_traffic(
    book: PolicyBook,
    name: str,
    model: ModelTraffic,
    calendar: Calendar,
    at: datetime,
    requests: Requests,
) -> Judgement:
    """What a policy of traffic says of a model at an instant."""
    policy = book.of(name, model.subject)
    if policy is None:
        return Judgement()
    if policy.condition == "expected_by":
        return judge_expected(policy, at, calendar, requests)
    zone = calendar.day_of(to_us(at)).zone
    return judge_silence(policy, at, zone, model.first_at, model.last_at, requests)


def _requests_of(requests: Mapping[tuple[Subject, Span], int], subject: Subject, span: Span) -> int:
    return requests[subject, span]


def judge_ledger(
    book: PolicyBook, name: str, subject: Subject, gaps: Iterable[LedgerGap], calendar: Calendar
) -> Finding | None:
    """What a policy of the ledger says of a project."""
    found = list(gaps)
    policy = book.of(name, subject)
    if policy is None or policy.condition != "ledger" or not found:
        return None
    missing = sum(abs(gap.difference) for gap in found)
    days = ", ".join(str(gap.day) for gap in found)
    zone = calendar.day_of(to_us(found[0].day_start)).zone
    what = f"{missing:,} events of {days} are not accounted for"
    decoded = sum(gap.decoded for gap in found)
    return Finding(policy, what, found[0].day_start, zone, n=decoded, value=float(missing))
