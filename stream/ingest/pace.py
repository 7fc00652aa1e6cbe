"""When is the next checkpoint due, so that the database is neither idle nor flooded?

At least `shortest_s` after the one before. When one takes longer, the time between them grows with it, so that
checkpoints take at most `DUTY` of the time: what is left is for the rollup, the closing and the readers. A database
that is very slow gets no more than `LONGEST_PAUSE_S` of rest, or the worker would seem to be stuck.
"""

from __future__ import annotations

DUTY = 0.3
LONGEST_PAUSE_S = 10.0


class Pace:
    """The time between checkpoints, and the counters of a log line."""

    def __init__(self, shortest_s: float) -> None:
        self.shortest_s = shortest_s
        self.took_s = 0.0
        self.events_folded = 0
        self.events_written = 0
        self.checkpoints = 0
        self._next_at = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time."""
        return now >= self._next_at

    def hurry(self) -> None:
        """Memory waits for a checkpoint: let it be due now."""
        self._next_at = 0.0

    def done(self, began: float, ended: float) -> None:
        """A round of checkpoints is over."""
        self.took_s = ended - began
        rested = min(self.took_s / DUTY, self.took_s + LONGEST_PAUSE_S)
        self._next_at = began + max(self.shortest_s, rested)

    def folded(self, events: int) -> None:
        """Count events that came into memory."""
        self.events_folded += events

    def wrote(self, events: int) -> None:
        """Count events that a checkpoint made durable."""
        self.events_written += events
        self.checkpoints += 1
