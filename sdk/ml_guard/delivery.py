"""Is a failed batch sent again, and when? What is it counted as in the end?"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

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
from ml_guard.notices import Notices
from ml_guard.outbox import EXIT_TIMEOUT_S, Outbox
from ml_guard.stats import Counters
from ml_guard.transports.base import Batch, Receipt, Transport

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
SERVER_ATTEMPTS = 8
"""Tries for a batch that makes the server fail: about a minute, then it must not hold up the others."""
EXIT_TIMEOUT_WHEN_GONE_S = 1.0
"""How long the end of the process waits for a server that did not answer the last time."""

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

    def exit_timeout_s(self) -> float:
        """How long the end of the process may wait for what is left."""
        return EXIT_TIMEOUT_WHEN_GONE_S if self._gone else EXIT_TIMEOUT_S

    def deliver(self, batch: Batch, outbox: Outbox) -> None:
        """Settle one batch: return when it was sent, or counted as lost."""
        attempt = 0
        while True:
            if self._given_up or outbox.time_left_s() <= 0:
                self._counters.dropped("unsent_at_close", len(batch.events))
                return
            attempt += 1
            try:
                receipt = self._transport.send(batch, min(self._timeout_s, outbox.time_left_s()))
            except TransportError as error:
                if isinstance(error, TooLargeError) and len(batch.events) > 1:
                    for half in _halves(batch):
                        self.deliver(half, outbox)
                    return
                if not error.retriable or (isinstance(error, ServerError) and attempt >= SERVER_ATTEMPTS):
                    self._refused(batch, error)
                    return
                self._wait(error, attempt, outbox)
            except Exception as error:  # a defect of a transport must not end the thread
                self._counters.dropped("internal_error", len(batch.events))
                self._notices.warn(
                    "internal_error", f"events are lost: the SDK failed, please report it: {error!r}"
                )
                return
            else:
                self._gone = False
                self._accepted(batch, receipt)
                return

    def _accepted(self, batch: Batch, receipt: Receipt) -> None:
        self._counters.sent(len(batch.events) - len(receipt.rejected))
        for rejection in receipt.rejected:
            self._counters.rejected(rejection.reason)
            self._notices.warn(
                f"rejected {rejection.reason}",
                f"the server rejected an event of project {batch.project_id} ({rejection.reason}): {rejection.detail}",
            )

    def _refused(self, batch: Batch, error: TransportError) -> None:
        reason, cure = _REFUSALS.get(type(error), _OTHER_REFUSAL)
        self._counters.dropped(reason, len(batch.events))
        self._notices.warn(reason, "events are lost: " + cure.format(project=batch.project_id, error=error))

    def _wait(self, error: TransportError, attempt: int, outbox: Outbox) -> None:
        self._counters.retried()
        self._gone = isinstance(error, ConnectionLostError)
        if self._gone and outbox.closing:
            self._given_up = True
            self._notices.warn("given up", f"the last events could not be sent: {error}")
            return
        self._notices.warn("retry", f"{outbox.waiting} events wait to be sent, trying again: {error}")
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt - 1, 10))
        seconds = longest * (0.5 + self._jitter() / 2)
        if isinstance(error, OverloadedError):
            asked = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            outbox.pause(max(seconds, asked), patient=True)
        else:
            outbox.pause(seconds)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.events) // 2
    first, second = batch.events[:middle], batch.events[middle:]
    return Batch(str(uuid.uuid4()), batch.project_id, first), Batch(
        str(uuid.uuid4()), batch.project_id, second
    )
