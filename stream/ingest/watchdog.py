"""Does this worker get on, and if it does not although there is work, how does it end?

A thread of its own, so that a hung event loop is noticed too. It ends the process with `EXIT_STUCK`; whoever
supervises it starts it again, and the fence says where to go on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

EXIT_STUCK = 70
CHECK_S = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the event loop last showed.

    Attributes
    ----------
    position : int
        Sum of the fences written; any change is progress.
    behind : bool
        Whether a partition's log goes on behind its fence.
    waiting : bool
        A database or a broker that is away is waited for: starting again would not bring it back.
    """

    position: int
    behind: bool
    waiting: bool = False


class Watchdog:
    """Ends the process after `patience_s` without progress."""

    def __init__(
        self,
        patience_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._end = end
        self._seen = Progress(-1, False)
        self._progress_at = clock()
        self._shown_at = clock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch from a thread."""
        self._shown_at = self._progress_at = self._clock()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def show(self, progress: Progress) -> None:
        """Called by the event loop every few seconds."""
        now = self._clock()
        self._shown_at = now
        if progress.position != self._seen.position or not progress.behind or progress.waiting:
            self._progress_at = now
        self._seen = progress

    def check(self) -> None:
        """End the process if it is stuck."""
        now = self._clock()
        if now - self._shown_at > self._patience_s:
            log.critical("the event loop has not moved for %.0f s; this worker ends", now - self._shown_at)
            self._end(EXIT_STUCK)
        elif now - self._progress_at > self._patience_s:
            log.critical(
                "the log goes on, but offsets have stood still for %.0f s; this worker ends",
                now - self._progress_at,
            )
            self._end(EXIT_STUCK)

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_S):
            self.check()
