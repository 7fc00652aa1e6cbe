"""How does an event that the host hands over get on its way, without an error ever reaching the host?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ml_guard.delivery import Delivery
from ml_guard.encoding import EventEncoder
from ml_guard.errors import EventError
from ml_guard.event import MAX_FEATURES
from ml_guard.notices import Notices
from ml_guard.outbox import EXIT_TIMEOUT_S, MAX_BYTES, MAX_EVENTS, Outbox
from ml_guard.stats import Counters, Stats
from ml_guard.transports.base import Transport

_LOSSES = {
    "queue_full": "the queue is full: the server is away or slower than this process, or max_queue= is too small",
    "closed": "the client is closed: make a new one, or close it later",
    "oversized": "one event is larger than 512 KiB: send fewer or shorter features",
    "no_thread": "no thread could be started to send with",
    "internal_error": "the SDK failed, which is a defect of it: please report it",
}


class Ingestion:
    """Encoder, queue and delivery of one client. Everything that is lost is counted, and warned of."""

    def __init__(
        self,
        transport: Transport,
        *,
        max_queue: int = MAX_EVENTS,
        max_queue_bytes: int = MAX_BYTES,
        max_features: int = MAX_FEATURES,
        timeout_s: float = 10.0,
    ) -> None:
        self._encoder = EventEncoder(max_features)
        self._counters = Counters()
        self._notices = Notices()
        self._delivery = Delivery(transport, self._counters, self._notices, timeout_s=timeout_s)
        self._transport = transport
        self._outbox = Outbox(
            self._delivery.deliver,
            self._lost,
            open_transport=transport.open,
            close_transport=transport.close,
            after_fork=self._forked,
            exit_timeout_s=self._delivery.exit_timeout_s,
            max_events=max_queue,
            max_bytes=max_queue_bytes,
        )

    def take(self, row: Mapping[str, Any], wait_s: float = 0.0) -> bool:
        """Queue one event; False if it was lost, which is counted."""
        try:
            project_id, raw = self._encoder.encode(row)
        except EventError as error:
            self._counters.dropped("invalid")
            self._notices.warn(f"invalid {error.field}", f"an event is not sent: {error.detail}")
            return False
        except Exception as error:
            self._counters.dropped("invalid")
            self._notices.warn("invalid", f"an event is not sent: it cannot be read ({type(error).__name__})")
            return False
        return self._outbox.put(project_id, raw, wait_s)

    def take_all(self, rows: Iterable[Mapping[str, Any]], wait_s: float = 0.0) -> int:
        """Queue many; the number of those that were taken."""
        taken = 0
        try:
            for row in rows:
                taken += self.take(row, wait_s)
        except Exception as error:
            self._counters.dropped("invalid")
            self._notices.warn("rows", f"rows are not sent: they cannot be iterated ({type(error).__name__})")
        return taken

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken so far was settled in time."""
        return self._outbox.flush(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Send the rest for so long, count what is left as lost, and end; whether nothing was left."""
        finished = self._outbox.close(timeout_s)
        return finished and "unsent_at_close" not in self.stats().dropped

    def retire(self) -> None:
        """Nobody holds the client any more: let the thread end once it has sent what is left."""
        self._outbox.begin_close(EXIT_TIMEOUT_S)

    def stats(self) -> Stats:
        """What became of everything so far."""
        return self._counters.read(self._outbox.taken, self._outbox.waiting)

    def _lost(self, reason: str, events: int) -> None:
        self._counters.dropped(reason, events)
        if reason in _LOSSES:
            self._notices.warn(reason, f"events are lost: {_LOSSES[reason]}")

    def _forked(self) -> None:
        self._counters.reset()
        self._notices.reset()
        self._delivery.reset()
        self._transport.forget()
