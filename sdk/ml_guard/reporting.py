"""How does the server learn what its clients sent, retried and lost?"""

from __future__ import annotations

import time
from collections.abc import Callable

from ml_guard.errors import TransportError
from ml_guard.notices import Notices
from ml_guard.stats import Counters
from ml_guard.transports.base import Transport

INTERVAL_S = 30.0
"""Between two reports of a client: a request that is small beside the batches of half a minute."""
AFTER_FAILURE_S = 120.0
TIMEOUT_S = 3.0
NEVER = float("inf")


class Reporter:
    """Sends the counts that the server does not know yet, in the outbox's thread: now and then, and at the end."""

    def __init__(
        self,
        transport: Transport,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        notices: Notices | None = None,
    ) -> None:
        self._notices = notices
        self._transport = transport
        self._counters = counters
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """As at the beginning: a forked child reports for itself."""
        self._next_at = self._clock() + INTERVAL_S
        self._failed = False
        self._said = False

    def turn(self) -> float:
        """Report if it is time to; seconds until it may be time again."""
        if not self._able() or not self._counters.untold():
            return NEVER
        if (left := self._next_at - self._clock()) > 0:
            return left
        self.report(TIMEOUT_S)
        return self._next_at - self._clock() if self._counters.untold() else NEVER

    def _able(self) -> bool:
        """Whether counts reach a server; if they could and do not, the first loss says so, once."""
        transport = self._transport
        if transport.unreported and self._notices and not self._said and self._lost():
            self._said = True
            self._notices.warn("unreported", transport.unreported)
        return transport.reports

    def _lost(self) -> bool:
        return any(count.outcome == "dropped" for count in self._counters.untold())

    def hurry(self) -> None:
        """Somebody waits for the queue to be empty: losses are reported now, if the server took the last report."""
        if not self._failed and self._lost():
            self._next_at = self._clock()

    def report(self, timeout_s: float) -> None:
        """Report now. What could not be reported stays for the next time."""
        counts = self._counters.untold()
        if not self._able() or not counts or timeout_s <= 0:
            return
        try:
            refused = self._transport.report(self._counters.client_id, counts, timeout_s)
        except TransportError:  # the events tell of the same trouble, and louder
            self._failed = True
            self._next_at = self._clock() + AFTER_FAILURE_S
            return
        self._failed = False
        self._next_at = self._clock() + (AFTER_FAILURE_S if refused else INTERVAL_S)
        self._counters.told(count for count in counts if count.project_id not in refused)
