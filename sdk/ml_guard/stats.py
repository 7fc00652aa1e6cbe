"""What became of the events that the host handed over?"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

DAYS_KEPT = 7
"""Days whose counts are still reported; the server takes none that are older."""
MAX_PROJECTS = 1000
"""Projects that are counted apart; what comes beyond counts for no project, so that garbage costs no memory."""
NO_PROJECT = ""

LOSSES = (
    "invalid",
    "oversized",
    "queue_full",
    "closed",
    "no_thread",
    "rejected",
    "unauthorized",
    "forbidden",
    "not_found",
    "too_large",
    "invalid_request",
    "refused",
    "server_error",
    "internal_error",
    "spill_full",
    "spill_failed",
    "spill_unreadable",
    "unsent_at_close",
)
"""Every reason for which an event is lost."""

_DAY_S = 86_400


class Stats(msgspec.Struct, frozen=True):
    """Counts since the client was made (after a fork: since the fork). Every event ends in exactly one of them.

    `taken` + `recovered` = `sent` + `queued` + `spilled` + what was lost later. Never taken, but counted in
    `dropped`: `invalid`, `oversized`, `queue_full`, `closed`, `no_thread`. Lost later: `rejected`, `unauthorized`,
    `forbidden`, `not_found`, `too_large`, `invalid_request`, `refused`, `server_error`, `internal_error`,
    `spill_full`, `spill_failed`, `spill_unreadable`, `unsent_at_close`.
    """

    taken: int = 0
    """Events that were put into the queue."""
    queued: int = 0
    """Events that are in the queue or on their way."""
    sent: int = 0
    """Events that the server, or the Kafka broker, acknowledged."""
    retries: int = 0
    """Requests that were made again."""
    dropped: dict[str, int] = {}
    """Events lost, by reason."""
    rejected: dict[str, int] = {}
    """Of those dropped as `rejected`: the server's reasons."""
    spilled: int = 0
    """Events that wait on disk (`spill_dir=`)."""
    recovered: int = 0
    """Events that an earlier process had left on disk."""


class Tally:
    """What became of the rows of one call that waits for them."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.spilled = 0

    @property
    def settled(self) -> int:
        """Rows of which it is known what became of them."""
        return self.sent + self.dropped.total() + self.spilled


class Count(NamedTuple):
    """Events of a UTC day that had one outcome, since the client was made."""

    day: str
    project_id: str
    outcome: str
    reason: str
    events: int


class Counters:
    """The numbers behind `Stats`, added to from any thread, and beside them by day and project for the server.

    The counts of a day only grow and belong to `client_id`, so the server keeps the largest that it has seen:
    a report that is sent twice, late or out of order changes nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Everything to zero, with a lock and an id of its own: a forked child begins anew."""
        self._lock = threading.RLock()
        self.client_id = str(uuid.uuid4())
        self._sent = 0
        self._retries = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._spilled = 0
        self._recovered = 0
        self._projects: set[str] = set()
        self._daily: dict[tuple[int, str, str, str], int] = {}
        self._told: dict[tuple[int, str, str, str], int] = {}

    def sent(self, events: int, project_id: str = NO_PROJECT) -> None:
        """`events` were acknowledged."""
        with self._lock:
            self._sent += events
            self._note(project_id, "sent", "", events)

    def retried(self, project_id: str = NO_PROJECT) -> None:
        """One request was made again."""
        with self._lock:
            self._retries += 1
            self._note(project_id, "retried", "", 1)

    def dropped(self, reason: str, events: int = 1, project_id: str = NO_PROJECT) -> None:
        """`events` were lost."""
        with self._lock:
            self._dropped[reason] += events
            self._note(project_id, "dropped", reason, events)

    def rejected(self, reason: str, project_id: str = NO_PROJECT) -> None:
        """The server accepted the request, but not this event of it."""
        with self._lock:
            self._rejected[reason] += 1
        self.dropped("rejected", 1, project_id)

    def spilled(self, events: int) -> None:
        """So many more (or, negative, fewer) events wait on disk."""
        with self._lock:
            self._spilled += events

    def recovered(self, events: int) -> None:
        """An earlier process left so many on disk, which now wait there for this one."""
        with self._lock:
            self._recovered += events
            self._spilled += events

    def read(self, taken: int, queued: int) -> Stats:
        """The counts as they are now."""
        with self._lock:
            return Stats(
                taken,
                queued,
                self._sent,
                self._retries,
                dict(self._dropped),
                dict(self._rejected),
                self._spilled,
                self._recovered,
            )

    def untold(self) -> list[Count]:
        """The counts that the server does not know yet."""
        with self._lock:
            self._forget_old_days()
            return [
                Count(time.strftime("%Y-%m-%d", time.gmtime(day * _DAY_S)), project, outcome, reason, events)
                for (day, project, outcome, reason), events in self._daily.items()
                if self._told.get((day, project, outcome, reason)) != events
            ]

    def told(self, counts: Iterable[Count]) -> None:
        """The server knows these."""
        with self._lock:
            for count in counts:
                day = _day_number(count.day)
                self._told[day, count.project_id, count.outcome, count.reason] = count.events

    def _note(self, project_id: str, outcome: str, reason: str, events: int) -> None:
        if project_id not in self._projects:
            if len(self._projects) >= MAX_PROJECTS:
                project_id = NO_PROJECT
            self._projects.add(project_id)
        key = (int(self._clock()) // _DAY_S, project_id, outcome, reason)
        self._daily[key] = self._daily.get(key, 0) + events

    def _forget_old_days(self) -> None:
        oldest = int(self._clock()) // _DAY_S - DAYS_KEPT
        for key in [key for key in self._daily if key[0] < oldest]:
            del self._daily[key]
            self._told.pop(key, None)


def _day_number(day: str) -> int:
    from datetime import date

    return date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
