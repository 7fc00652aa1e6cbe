"""How do new results and passing time become alerts, each exactly once?

A step reads the results that were written since the last one, and every half minute what time alone decides. It
judges without holding anything, and writes in one fenced transaction: the position in the results, the episodes, and
the messages about them. What a crash takes away is judged again; what was written is in the outbox.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from stream.alerting.findings import HISTORY, ModelDay, judge
from stream.alerting.policies import CONDITIONS, PolicyBook, Subject
from stream.alerting.round import Round, new_id
from stream.alerting.timed import TimedJudge
from stream.alerting.wording import NAMED, Place, what_moved
from stream.store.alert_facts import (
    ChangedDay,
    move_position,
    read_bins,
    read_changed,
    read_days,
    read_position,
)
from stream.store.alert_outbox import Outgoing, write_messages
from stream.store.alerts import mutes, open_episodes, policies, write_changes
from stream.store.lease import Lease, fence
from stream.store.pool import Connection

log = logging.getLogger(__name__)

RESULTS_A_STEP = 200
TIMED_EVERY = timedelta(seconds=30)


@dataclass
class Evaluator:
    """Judges results and time, a step at a time.

    Parameters
    ----------
    channels : collection of str
        The channels that are set up.
    end_offsets : callable
        The last stable end offset of every partition of the topic.
    young : timedelta
        Days that ended longer ago open no alert: a backfill tells nobody of the past.
    changed : callable
        Told what became of each alert, once that is written.
    """

    clock: Callable[[], datetime]
    place: Place
    channels: Collection[str]
    end_offsets: Callable[[], Awaitable[Mapping[int, int]]]
    topic: str
    young: timedelta = timedelta(days=3)
    changed: Callable[[str], None] = lambda news: None
    _timed_at: datetime | None = None

    def __post_init__(self) -> None:
        self._timed = TimedJudge(self.end_offsets, self.topic, self.young)

    async def step(self, connection: Connection, lease: Lease) -> bool:
        """One step; whether more results are waiting.

        Raises
        ------
        LeaseLostError
            If another worker leads now; nothing was written.
        """
        now = self.clock()
        position = await read_position(connection)
        changed = await read_changed(connection, position, RESULTS_A_STEP)
        is_due = self._timed_at is None or not self._timed_at <= now < self._timed_at + TIMED_EVERY
        if not changed and not is_due:
            return False
        book = PolicyBook(await policies(connection))
        round_ = Round(await open_episodes(connection), await mutes(connection, now), now)
        for subject, days in groupby(sorted(changed, key=_by_subject), key=lambda one: one.subject):
            await self._judge_days(connection, round_, book, subject, list(days), now)
        if is_due:
            await self._timed.judge(connection, round_, book, now)
            round_.look_after(book)
        await self._say_what_moved(connection, round_)
        messages = [
            Outgoing(new_id(), channel, message, now)
            for channel, message in round_.messages(self.place, self.channels)
        ]
        async with connection.transaction():
            await fence(connection, lease)
            if changed and not await move_position(connection, position, changed[-1].change_id):
                return True
            await write_changes(connection, round_.changes, round_.new)
            await write_messages(connection, messages, now)
        if is_due:
            self._timed_at = now
        for change in round_.changes:
            self.changed(change.news)
            if change.news != "updated":
                episode = change.episode
                log.info(
                    "alert %s %s: %s",
                    episode.alert_id,
                    change.news,
                    episode.headline,
                    extra={"project": episode.subject.project_id, "alert": episode.alert_id},
                )
        return len(changed) == RESULTS_A_STEP

    async def _judge_days(
        self,
        connection: Connection,
        round_: Round,
        book: PolicyBook,
        subject: Subject,
        changed: Sequence[ChangedDay],
        now: datetime,
    ) -> None:
        looks_at_open_days = any(policy.open_day and policy.enabled for policy in book.all())
        if not looks_at_open_days and all(day.revision == 0 for day in changed):
            return
        first, last = changed[0].day_start, changed[-1].day_start
        days = await read_days(connection, subject, first - HISTORY, max(last, now))
        changed_at = {day.day_start: day for day in changed}
        for at, cause in _to_judge(days, changed_at):
            ended = changed_at[at.day_start].day_end if at.day_start in changed_at else cause.day_end
            if at.is_open and not at.day_start <= now < ended:
                continue  # it is about to close, or comes from a clock that is ahead
            known = [day for day in days if day.day_start <= at.day_start and (day is at or not day.is_open)]
            for name in book.names:
                conditions = [c for c in sorted(book.conditions(name)) if CONDITIONS[c].on_closed_days]
                found = [judge(name, condition, book, subject, known) for condition in conditions]
                finding = next((one for one in found if one is not None), None)
                if finding is not None:
                    round_.found(subject, finding, may_open=ended > now - self.young)
                elif conditions and not at.is_open:
                    round_.not_found(subject, name, at.day_start, (cause.day, cause.revision))

    async def _say_what_moved(self, connection: Connection, round_: Round) -> None:
        for change in round_.changes:
            episode = change.episode
            measured = [f.feature for f in episode.details.features[:NAMED] if f.measure == "PSI"]
            if change.news in ("opened", "updated") and measured and episode.day_start is not None:
                bins = await read_bins(connection, episode.subject, episode.day_start, measured)
                moved = {key: what_moved(found) for key, found in bins.items()}
                round_.say_what_moved(episode.alert_id, moved)


def _by_subject(day: ChangedDay) -> tuple[Subject, datetime]:
    return day.subject, day.day_start


def _to_judge(
    days: Sequence[ModelDay], changed: Mapping[datetime, ChangedDay]
) -> list[tuple[ModelDay, ChangedDay]]:
    """The days as of which to judge, in order, each with the changed day that is the cause.

    An episode is about now. So closed days are judged that are later than every closed day judged before; a past
    one that changed has the latest of those judged again, since the row of days that led to it may have changed.
    """
    closed = [day for day in days if not day.is_open]
    before = [day for day in closed if day.day_start not in changed]
    latest = before[-1] if before else None
    found: list[tuple[ModelDay, ChangedDay]] = []
    if latest is not None:
        past = [day for at, day in changed.items() if at < latest.day_start and day.revision]
        if past:
            found.append((latest, max(past, key=lambda day: day.revision)))
    found += [
        (day, changed[day.day_start])
        for day in closed
        if day.day_start in changed and (latest is None or day.day_start > latest.day_start)
    ]
    newest = found[-1][0] if found else latest
    return found + [
        (day, changed[day.day_start])
        for day in days
        if day.is_open and day.day_start in changed and (newest is None or day.day_start > newest.day_start)
    ]
