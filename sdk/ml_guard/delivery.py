"""Is a failed batch sent again, and when? What is it counted as in the end?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ml_guard.errors import (
    ConnectionLostError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    ServerError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
)
from ml_guard.naming import part_id
from ml_guard.notices import Notices
from ml_guard.outbox import EXIT_TIMEOUT_S, NEVER, Outbox
from ml_guard.stats import Counters
from ml_guard.transports.base import Batch, Receipt, Transport

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
SERVER_ATTEMPTS = 8
"""Tries for a batch that makes the server fail: about a minute, then it must not hold up the others."""
EXIT_TIMEOUT_WHEN_GONE_S = 0.03
"""How long the end of the process waits if the server did not answer the last time: until the thread has counted."""

_REFUSALS: dict[type[TransportError], tuple[str, str]] = {
    UnauthorizedError: (
        "unauthorized",
        "the API key is missing, wrong or revoked (401): give api_key= a key with the scope `ingest`",
    ),
    ForbiddenError: (
        "forbidden",
        "the key may not send events to project {project} (403): use a key with the scope `ingest` for it",
    ),
    NotFoundError: (
        "not_found",
        "project {project} is unknown, or the address is not ML Guard's (404): create the project, check base_url=",
    ),
    TooLargeError: (
        "too_large",
        "an event is larger than the server or a proxy before it takes (413): send fewer or shorter features",
    ),
    InvalidError: ("invalid_request", "the server does not accept the request (422): {error}"),
    ServerError: (
        "server_error",
        f"the server failed {SERVER_ATTEMPTS} times on one batch: see its log ({{error}})",
    ),
}
_OTHER_REFUSAL = ("refused", "the server refused the request: {error}")


class Delivery:
    """Sends each batch until it is durable or hopeless. Nothing is raised; all is counted."""

    def __init__(
        self,
        transport: Transport,
        counters: Counters,
        notices: Notices,
        *,
        timeout_s: float = 10.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._counters = counters
        self._notices = notices
        self._timeout_s = timeout_s
        self._jitter = jitter
        self.reset()

    def reset(self) -> None:
        """Know nothing of the server, as at the beginning or after a fork."""
        self._gone = False
        self._given_up = False

    @property
    def gone(self) -> bool:
        """Whether nobody answered the last time."""
        return self._gone

    def exit_timeout_s(self) -> float:
        """How long the end of the process may wait for what is left."""
        return EXIT_TIMEOUT_WHEN_GONE_S if self._gone else EXIT_TIMEOUT_S

    def deliver(self, batch: Batch, outbox: Outbox) -> None:
        """Settle one batch: return when it was sent, or counted as lost."""
        attempt = 0
        while True:
            if self._given_up or outbox.time_left_s() <= 0:
                self._give_up(batch)
                return
            attempt += 1
            error = self._try(batch, outbox, attempt)
            if error is None:
                return
            self._wait(error, attempt, outbox)

    def turn(self, outbox: Outbox) -> float:
        """What there is to do between batches; seconds until there is more."""
        return NEVER

    def hurry(self) -> None:
        """Somebody waits: try what was put off."""

    def finish(self, outbox: Outbox) -> None:
        """The last batch was delivered."""

    @property
    def empty(self) -> bool:
        """Whether nothing was put off."""
        return True

    def leave(self, queued: Sequence[Batch], under_way: Sequence[Batch]) -> None:
        """The client ends before these are sent; those under way are counted when their attempt ends."""
        for batch in queued:
            self._give_up(batch)

    def _try(self, batch: Batch, outbox: Outbox, attempt: int) -> TransportError | None:
        """Send once; the error, if the batch should be tried again, else it is settled."""
        try:
            receipt = self._transport.send(batch, min(self._timeout_s, outbox.time_left_s()))
        except TransportError as error:
            if isinstance(error, TooLargeError) and len(batch.events) > 1:
                for half in _halves(batch):
                    self.deliver(half, outbox)
                return None
            if error.retriable and not (isinstance(error, ServerError) and attempt >= SERVER_ATTEMPTS):
                self._counters.retried(batch.project_id)
                self._gone = isinstance(error, ConnectionLostError)
                return error
            self._refused(batch, error)
        except Exception as error:  # a defect of a transport must not end the thread
            self._drop(batch, "internal_error")
            self._notices.warn(
                "internal_error", f"events are lost: the SDK failed, please report it: {error!r}"
            )
        else:
            self._gone = False
            self._accepted(batch, receipt)
        return None

    def _drop(self, batch: Batch, reason: str) -> None:
        self._counters.dropped(reason, len(batch.events), batch.project_id)
        if batch.tally is not None:
            batch.tally.dropped[reason] += len(batch.events)

    def _give_up(self, batch: Batch) -> None:
        self._drop(batch, "unsent_at_close")
        self._notices.warn(
            "given up",
            "the last events could not be sent before the end: the server does not answer "
            "(spill_dir= would have kept them)",
        )

    def _accepted(self, batch: Batch, receipt: Receipt) -> None:
        good = len(batch.events) - len(receipt.rejected)
        self._counters.sent(good, batch.project_id)
        if batch.tally is not None:
            batch.tally.sent += good
            batch.tally.dropped["rejected"] += len(receipt.rejected)
            batch.tally.rejected.update(rejection.reason for rejection in receipt.rejected)
        for rejection in receipt.rejected:
            self._counters.rejected(rejection.reason, batch.project_id)
            self._notices.warn(
                f"rejected {rejection.reason}",
                f"the server rejected an event of project {batch.project_id} ({rejection.reason}): {rejection.detail}",
            )

    def _refused(self, batch: Batch, error: TransportError) -> None:
        reason, cure = _REFUSALS.get(type(error), _OTHER_REFUSAL)
        if error.status is None:  # Kafka's, which is told in its own words
            cure = "{error}"
        self._drop(batch, reason)
        self._notices.warn(reason, "events are lost: " + cure.format(project=batch.project_id, error=error))

    def _wait(self, error: TransportError, attempt: int, outbox: Outbox) -> None:
        if self._gone and outbox.closing:
            self._given_up = True
            return
        self._notices.warn("retry", f"{outbox.waiting} events wait to be sent, trying again: {error}")
        seconds = self._pause_s(attempt)
        if isinstance(error, OverloadedError):
            asked = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            outbox.pause(max(seconds, asked), patient=True)
        else:
            outbox.pause(seconds)

    def _pause_s(self, attempt: int) -> float:
        longest: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 10))
        return longest * (0.5 + self._jitter() / 2)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    """Two batches whose ids follow from the batch's own, so that a retry of it is halved into the same two."""
    middle = len(batch.events) // 2
    return (
        Batch(part_id(batch.batch_id, "a"), batch.project_id, batch.events[:middle], batch.tally),
        Batch(part_id(batch.batch_id, "b"), batch.project_id, batch.events[middle:], batch.tally),
    )
