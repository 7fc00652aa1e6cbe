"""What becomes of a batch that cannot be sent now, where events must not be lost? It waits on disk, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_guard.delivery import LONGEST_RETRY_AFTER_S, Delivery
from ml_guard.errors import OverloadedError, TransportError
from ml_guard.outbox import EXIT_TIMEOUT_S, Outbox
from ml_guard.spool import LOOK_S, Spool
from ml_guard.transports.base import Batch

EXIT_TIMEOUT_WHEN_GONE_S = 2.0
"""How long the end of the process waits for what is in memory to be written to disk."""


class Spilling(Delivery):
    """Sends while the server answers; from the first failure on, batches go to disk and leave it in order."""

    def __init__(
        self,
        *args: Any,
        folder: Path,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        **more: Any,
    ) -> None:
        self._spool = Spool(folder, max_bytes, unreadable=self._unreadable, clock=clock)
        self._clock = clock
        super().__init__(*args, **more)

    def reset(self) -> None:
        super().reset()
        self._spool.forget()
        self._attempt = 0
        self._next_try = float("-inf")

    @property
    def empty(self) -> bool:
        """Whether nothing waits on disk."""
        return self._spool.empty

    def exit_timeout_s(self) -> float:
        return EXIT_TIMEOUT_WHEN_GONE_S if self._gone else EXIT_TIMEOUT_S

    def deliver(self, batch: Batch, outbox: Outbox) -> None:
        if self._spool.empty and outbox.time_left_s() > 0 and not (self._gone and outbox.closing):
            error = self._try(batch, outbox, 1)
            if error is None:
                return
            self._put_off(error)
        self._keep(batch)

    def turn(self, outbox: Outbox) -> float:
        self._adopt()
        if self._spool.empty:
            return LOOK_S
        if (left := self._next_try - self._clock()) > 0:
            return left
        self._send_first(outbox)
        return 0.0

    def hurry(self) -> None:
        self._next_try = float("-inf")

    def finish(self, outbox: Outbox) -> None:
        while not self._spool.empty and not self._gone and outbox.time_left_s() > 0:
            if (left := self._next_try - self._clock()) > 0:
                outbox.pause(left, patient=True)
            self._send_first(outbox)
        self._spool.close()

    def leave(self, queued: Sequence[Batch], under_way: Sequence[Batch]) -> None:
        for batch in (*under_way, *queued):
            self._keep(batch)

    def _send_first(self, outbox: Outbox) -> None:
        batch = self._spool.first()
        if batch is None:
            return
        error = self._try(batch, outbox, self._attempt + 1)
        if error is not None:
            self._put_off(error)
            return
        self._attempt = 0
        self._spool.remove_first()
        self._counters.spilled(-len(batch.events))

    def _put_off(self, error: TransportError) -> None:
        self._attempt += 1
        seconds = self._pause_s(self._attempt)
        if isinstance(error, OverloadedError):
            seconds = max(seconds, min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))
        self._next_try = self._clock() + seconds
        self._notices.warn("retry", f"events wait on disk to be sent, trying again: {error}")

    def _keep(self, batch: Batch) -> None:
        try:
            kept = self._spool.append(batch)
        except OSError as error:
            self._drop(batch, "spill_failed")
            self._notices.warn(
                "spill_failed",
                f"events are lost: spill_dir= cannot be written ({error.strerror or type(error).__name__}); "
                "give it room and rights",
            )
            return
        if not kept:
            self._drop(batch, "spill_full")
            self._notices.warn(
                "spill_full", "events are lost: spill_dir= holds all that spill_bytes= allows; raise it"
            )
            return
        self._counters.spilled(len(batch.events))
        if batch.tally is not None:
            batch.tally.spilled += len(batch.events)

    def _adopt(self) -> None:
        try:
            self._counters.recovered(self._spool.adopt())
        except OSError as error:
            self._notices.warn("spill_read", f"spill_dir= cannot be read ({error.strerror})")

    def _unreadable(self, path: Path, events: int) -> None:
        self._counters.spilled(-events)
        self._counters.dropped("spill_unreadable", events)
        self._notices.warn(
            "spill_unreadable",
            f"{events} events on disk cannot be read and are set aside as {path.stem}.unreadable",
        )
