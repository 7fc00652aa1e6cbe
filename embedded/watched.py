"""Does a part still run, and what happened when it did not? One supervised part: start, crash, backoff, restart."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from embedded.errors import EmbeddedError
from embedded.folder import birth
from embedded.process import Part

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 60.0
"""A part that ran this long has recovered: its next crash is restarted at once again."""


def ending(code: int) -> str:
    """An exit code in words.

    >>> ending(-9)
    'was killed by SIGKILL'
    >>> ending(70)
    'ended with code 70'
    """
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


class Watched:
    """A part with the memory of its last crash. `start` blocks until the part is ready or raises."""

    def __init__(self, name: str, address: str | None, start: Callable[[], Part]) -> None:
        self.name = name
        self.address = address
        self._start = start
        self.part: Part | None = None
        self.state = "waiting"
        self.since = _now()
        self.restarts = 0
        self.crash: dict[str, Any] | None = None
        self._failures = 0
        self._began = 0.0
        self._birth: str | None = None
        self.restart_at = 0.0

    def start(self) -> None:
        self._enter("starting")
        self.part = self._start()
        self._birth = birth(self.part.pid)
        self._began = time.monotonic()
        self._enter("running")

    def check(self) -> bool:
        """True if the part has just been found dead."""
        if self.state != "running" or self.part is None or self.part.exit_code is None:
            return False
        self._crashed(ending(self.part.exit_code), self.part.last_lines)
        return True

    @property
    def is_due(self) -> bool:
        return self.state == "crashed" and time.monotonic() >= self.restart_at

    def restart(self) -> None:
        self.restarts += 1
        try:
            self.start()
        except EmbeddedError as failure:
            self._crashed("did not start again", str(failure))

    def stop(self) -> None:
        self._enter("stopping")
        if self.part is not None:
            self.part.stop()
        self._enter("stopped")

    def to_json(self) -> dict[str, Any]:
        running = self.part is not None and self.state in ("running", "stopping")
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.part.pid if running and self.part else None,
            "birth": self._birth if running else None,
            "address": self.address,
            "since": self.since,
            "restarts": self.restarts,
            "last_crash": self.crash,
        }

    def _crashed(self, how: str, last_lines: str) -> None:
        stable = time.monotonic() - self._began > STABLE_AFTER_S
        self._failures = 1 if stable else self._failures + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failures - 1))
        self.restart_at = time.monotonic() + pause_s
        self.crash = {"at": _now(), "how": how, "last_lines": last_lines.splitlines()}
        log.error("%s %s; next start in %.1f s\n%s", self.name, how, pause_s, last_lines)
        self._enter("crashed")

    def _enter(self, state: str) -> None:
        self.state, self.since = state, _now()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
