"""How far is a long call? One line on stderr, on a terminal only, and only once it takes long."""

from __future__ import annotations

import sys
import time
from types import TracebackType

AFTER_S = 1.0
"""What is done by then needs no bar."""
EVERY_S = 0.1
_WIDTH = 30


class Progress:
    """A bar that is drawn over itself and wiped away at the end. `wanted` None: if stderr is a terminal."""

    def __init__(self, what: str, total: int, wanted: bool | None = None) -> None:
        self._what = what
        self._total = max(1, total)
        self._wanted = sys.stderr.isatty() if wanted is None else wanted
        self._started = self._next_at = time.monotonic()
        self._drawn = False
        if wanted is None:
            self._next_at += AFTER_S

    def show(self, done: int) -> None:
        """So much is done."""
        now = time.monotonic()
        if not self._wanted or now < self._next_at:
            return
        self._next_at = now + EVERY_S
        self._drawn = True
        share = min(1.0, done / self._total)
        bar = "█" * round(share * _WIDTH)
        left = f"{(now - self._started) * (1 - share) / share:,.0f} s left" if share > 0 else ""
        sys.stderr.write(
            f"\r{self._what} {bar:<{_WIDTH}} {done:,} of {self._total:,} {share:4.0%} {left}\033[K"
        )
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
