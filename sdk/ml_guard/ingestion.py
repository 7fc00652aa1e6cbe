"""How does an event that the host hands over get on its way, without an error ever reaching the host?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_guard.delivery import Delivery
from ml_guard.encoding import EventEncoder
from ml_guard.errors import EventError
from ml_guard.event import MAX_FEATURES
from ml_guard.notices import Notices
from ml_guard.outbox import EXIT_TIMEOUT_S, MAX_BYTES, MAX_EVENTS, Outbox
from ml_guard.reporting import TIMEOUT_S, Reporter
from ml_guard.stats import NO_PROJECT, Counters, Stats, Tally
from ml_guard.transports.base import Batch, Transport

_LOSSES = {
    "queue_full": "the queue is full: the server is away or slower than this process, or max_queue= is too small",
    "closed": "the client is closed: make a new one, or close it later",
    "oversized": "one event is larger than 512 KiB: send fewer or shorter features",
    "no_thread": "no thread could be started to send with",
    "internal_error": "the SDK failed, which is a defect of it: please report it",
}

WAIT_SLICE_S = 0.1
"""How often a call that waits for its rows looks at what became of them."""


class Ingestion:
    """Encoder, queue and delivery of one client. Everything that is lost is counted, and warned of."""

    def __init__(
        self,
        transport: Transport,
        *,
        defaults: Mapping[str, str] | None = None,
        max_queue: int = MAX_EVENTS,
        max_queue_bytes: int = MAX_BYTES,
        max_features: int = MAX_FEATURES,
        timeout_s: float = 10.0,
        spill_dir: Path | None = None,
        spill_bytes: int = 0,
    ) -> None:
        self.encoder = EventEncoder(max_features, defaults)
        self._project = (defaults or {}).get("project_id", NO_PROJECT)
        self._counters = Counters()
        self.notices = Notices()
        self._reporter = Reporter(transport, self._counters)
        self._delivery = _delivery(transport, self._counters, self.notices, timeout_s, spill_dir, spill_bytes)
        self.transport = transport
        self._outbox = Outbox(
            self._delivery.deliver,
            self._lost,
            leave=self._delivery.leave,
            between=self._turn,
            open_transport=transport.open,
            close_transport=self._end,
            after_fork=self._forked,
            exit_timeout_s=self._delivery.exit_timeout_s,
            max_events=max_queue,
            max_bytes=max_queue_bytes,
        )

    def take(self, row: Mapping[str, Any], wait_s: float = 0.0) -> bool:
        """Queue one event; False if it was lost, which is counted."""
        encoded = self._encoded(row)
        return encoded is not None and self._outbox.put(*encoded, wait_s)

    def take_all(self, rows: Iterable[Mapping[str, Any]], wait_s: float = 0.0) -> int:
        """Queue many; the number of those that were taken."""
        return sum(self._outbox.put(*encoded, wait_s) for encoded in self.encoded(rows))

    def encoded(self, rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, bytes]]:
        """Project and bytes of each row that is good; the others are counted."""
        try:
            for row in rows:
                if (encoded := self._encoded(row)) is not None:
                    yield encoded
        except Exception as error:
            self.refuse("rows", f"rows are not sent: they cannot be iterated ({type(error).__name__})")

    def take_batches(self, batches: Iterable[Batch], wait_s: float) -> int:
        """Queue batches whose ids are settled; the number of events taken."""
        taken = 0
        for batch in batches:
            if self._outbox.put_batch(batch, wait_s):
                taken += len(batch.events)
            else:
                reason = "closed" if self._outbox.closing else "queue_full"
                self._lost(reason, len(batch.events), batch.project_id)
        return taken

    def send_and_wait(
        self, batches: Iterable[Batch], tally: Tally, timeout_s: float, watch: Callable[[], None]
    ) -> int:
        """Send batches with this tally; return at the first loss, at the deadline, or when all are settled.

        Returns how many events were given to the queue.
        """
        deadline = time.monotonic() + timeout_s
        given = 0
        for batch in batches:
            while not self._outbox.put_batch(batch, WAIT_SLICE_S):
                watch()
                if self._outbox.closing or time.monotonic() >= deadline or _lost(tally):
                    return given
            given += len(batch.events)
            watch()
        while tally.settled < given and time.monotonic() < deadline and not _lost(tally):
            self._outbox.flush(WAIT_SLICE_S)
            watch()
        return given

    def refuse(self, kind: str, message: str, project_id: str | None = None) -> None:
        """Count an event that cannot be, and say why."""
        self._counters.dropped("invalid", 1, project_id or self._project)
        self.notices.warn(kind, message)
        self._outbox.wake()

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken so far was settled in time."""
        deadline = time.monotonic() + timeout_s
        self._reporter.hurry()
        self._delivery.hurry()
        self._outbox.wake()
        settled = self._outbox.flush(timeout_s)
        while settled and not self._delivery.empty:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return settled

    def settle(self) -> bool:
        """`flush` for as long as the end of a process would wait: hardly at all for a server that is gone."""
        return self.flush(self._delivery.exit_timeout_s())

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

    def _encoded(self, row: Mapping[str, Any]) -> tuple[str, bytes] | None:
        try:
            return self.encoder.encode(row)
        except EventError as error:
            self.refuse(f"invalid {error.field}", f"an event is not sent: {error.detail}", _project_of(row))
        except Exception as error:
            self.refuse("invalid", f"an event is not sent: it cannot be read ({type(error).__name__})")
        return None

    def _turn(self, outbox: Outbox) -> float:
        return min(self._delivery.turn(outbox), self._reporter.turn())

    def _end(self) -> None:
        self._delivery.finish(self._outbox)
        if not self._delivery.gone:
            self._reporter.report(min(TIMEOUT_S, self._outbox.time_left_s()))
        self.transport.close()

    def _lost(self, reason: str, events: int, project_id: str) -> None:
        self._counters.dropped(reason, events, project_id)
        if reason in _LOSSES:
            self.notices.warn(reason, f"events are lost: {_LOSSES[reason]}")
        self._outbox.wake()

    def _forked(self) -> None:
        self._counters.reset()
        self.notices.reset()
        self._delivery.reset()
        self._reporter.reset()
        self.transport.forget()


def _delivery(
    transport: Transport,
    counters: Counters,
    notices: Notices,
    timeout_s: float,
    spill_dir: Path | None,
    spill_bytes: int,
) -> Delivery:
    if spill_dir is None:
        return Delivery(transport, counters, notices, timeout_s=timeout_s)
    from ml_guard.spilling import Spilling

    return Spilling(
        transport, counters, notices, timeout_s=timeout_s, folder=spill_dir, max_bytes=spill_bytes
    )


def _lost(tally: Tally) -> bool:
    return any(reason != "rejected" for reason, events in tally.dropped.items() if events)


def _project_of(row: Mapping[str, Any]) -> str | None:
    project_id = row.get("project_id")
    return project_id if type(project_id) is str and len(project_id) <= 256 else None
