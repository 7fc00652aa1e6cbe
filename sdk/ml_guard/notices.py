"""How does the SDK tell its host that something is wrong, without flooding the log?"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("ml_guard")

INTERVAL_S = 60.0
"""One warning of a kind a minute: often enough to be seen, rare enough to be left on."""


class Notices:
    """Warnings of the logger `ml_guard`: one of a kind an interval, with the number of those left out."""

    def __init__(self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget what was said, with a lock of its own: a forked child begins anew."""
        self._lock = threading.RLock()
        self._kinds: dict[str, tuple[float, int]] = {}

    def warn(self, kind: str, message: str) -> None:
        """Log `message`, unless one of its kind was logged within the interval."""
        now = self._clock()
        with self._lock:
            last, left_out = self._kinds.get(kind, (-self._interval_s, 0))
            if now - last < self._interval_s:
                self._kinds[kind] = (last, left_out + 1)
                return
            self._kinds[kind] = (now, 0)
        more = f" ({left_out} more like it since the last warning)" if left_out else ""
        logger.warning("ML Guard: %s%s", message, more)
