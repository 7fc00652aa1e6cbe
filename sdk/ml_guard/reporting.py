"""How does the server learn what its clients sent, retried and lost?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from ml_guard.errors import TransportError
from ml_guard.stats import Count, Counters
from ml_guard.transports.base import Transport

INTERVAL_S = 30.0
"""Between two reports of a client: a request that is small beside the batches of half a minute."""
AFTER_FAILURE_S = 120.0
TIMEOUT_S = 3.0
MAX_COUNTS = 500
"""Counts in one report: however long the projects' names, it fits a record of Kafka."""
HEADER = "ml-guard-client-counts"
"""The header of a Kafka record without a value that holds a report."""
NEVER = float("inf")


def encode(client_id: str, counts: Sequence[Count]) -> bytes:
    """A report as the server reads it: the body of a request, or the header of a record.

    >>> encode("client-1", [Count("2025-01-01", "p", "dropped", "closed", 3)])
    b'{"client_id":"client-1","counts":[{"day":"2025-01-01","project_id":"p","outcome":"dropped","reason":"closed","events":3}]}'
    """
    said = [{**count._asdict(), "project_id": _sendable(count.project_id)} for count in counts]
    return msgspec.json.encode({"client_id": client_id, "counts": said})


def _sendable(name: str) -> str:
    """The name that an invalid event gave, which may hold half a surrogate pair."""
    return name.encode("utf-8", "replace").decode()


class Reporter:
    """Sends the counts that the server does not know yet, in the outbox's thread: now and then, and at the end."""

    def __init__(
        self,
        transport: Transport,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._counters = counters
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """As at the beginning: a forked child reports for itself."""
        self._next_at = self._clock() + INTERVAL_S
        self._failed = False

    def turn(self) -> float:
        """Report if it is time to; seconds until it may be time again."""
        if not self._transport.reports or not self._counters.untold():
            return NEVER
        if (left := self._next_at - self._clock()) > 0:
            return left
        self.report(TIMEOUT_S)
        return self._next_at - self._clock() if self._counters.untold() else NEVER

    def _lost(self) -> bool:
        return any(count.outcome == "dropped" for count in self._counters.untold())

    def hurry(self) -> None:
        """Somebody waits for the queue to be empty: losses are reported now, if the server took the last report."""
        if not self._failed and self._lost():
            self._next_at = self._clock()

    def report(self, timeout_s: float) -> None:
        """Report now. What could not be reported stays for the next time."""
        counts = self._counters.untold() if self._transport.reports else []
        by = self._clock() + timeout_s
        for begin in range(0, len(counts), MAX_COUNTS):
            if (left := by - self._clock()) <= 0 or not self._report(
                counts[begin : begin + MAX_COUNTS], left
            ):
                return

    def _report(self, counts: Sequence[Count], timeout_s: float) -> bool:
        try:
            refused = self._transport.report(self._counters.client_id, counts, timeout_s)
        except TransportError:  # the events tell of the same trouble, and louder
            self._failed = True
            self._next_at = self._clock() + AFTER_FAILURE_S
            return False
        self._failed = False
        self._next_at = self._clock() + (AFTER_FAILURE_S if refused else INTERVAL_S)
        self._counters.told(count for count in counts if count.project_id not in refused)
        return True
