"""What became of the events that the host handed over?"""

from __future__ import annotations

import threading
from collections import Counter

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """Counts since the client was made (after a fork: since the fork). Every event ends in exactly one of them.

    `taken` = `sent` + `queued` + what was lost later. Never taken, but counted in `dropped`: `invalid`, `oversized`,
    `queue_full`, `closed`, `no_thread`. Lost later: `rejected`, `unauthorized`, `forbidden`, `not_found`, `too_large`,
    `invalid_request`, `refused`, `server_error`, `internal_error`, `unsent_at_close`.
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


class Counters:
    """The numbers behind `Stats`, added to from any thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Everything to zero, with a lock of its own: a forked child begins anew."""
        self._lock = threading.RLock()
        self._sent = 0
        self._retries = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def sent(self, events: int) -> None:
        """`events` were acknowledged."""
        with self._lock:
            self._sent += events

    def retried(self) -> None:
        """One request was made again."""
        with self._lock:
            self._retries += 1

    def dropped(self, reason: str, events: int = 1) -> None:
        """`events` were lost."""
        with self._lock:
            self._dropped[reason] += events

    def rejected(self, reason: str) -> None:
        """The server accepted the request, but not this event of it."""
        with self._lock:
            self._dropped["rejected"] += 1
            self._rejected[reason] += 1

    def read(self, taken: int, queued: int) -> Stats:
        """The counts as they are now."""
        with self._lock:
            return Stats(taken, queued, self._sent, self._retries, dict(self._dropped), dict(self._rejected))
