"""What can go wrong in ML Guard's SDK, and which of it is worth another try?

    MLGuardError
    |- EventError                an event, or a record of events, that breaks the contract (docs/event.md)
    |- IncompleteBatchError      not every row of a batch job arrived; the same call may be repeated
    |- ConfigError               the client was set up in a way that cannot work
    |  `- MissingExtraError      an optional package is not installed
    `- TransportError            a request did not succeed
       |- ConnectionLostError    nobody answered, or the answer broke off       (retriable)
       |- OverloadedError        429 or 503: later, please                      (retriable)
       |- ServerError            any other 5xx                                  (retriable)
       `- RefusedError           any other 4xx: the same request will never pass
          |- UnauthorizedError   401: no key, or a wrong one
          |- ForbiddenError      403: the key may not do this
          |- NotFoundError       404: no such project, model or address
          |- ConflictError       409: it exists already, or changed meanwhile
          |- TooLargeError       413: the body is over the server's limit
          `- InvalidError        422: the server does not accept these values

Calls of the API raise these. Ingestion never raises into the host program; it counts and warns instead.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

Reason = Literal[
    "invalid_json",
    "invalid_event",
    "invalid_timestamp",
    "naive_timestamp",
    "future_timestamp",
    "beyond_retention",
    "unknown_project",
    "too_many_features",
    "record_too_large",
    "cap_exceeded",
    "label_key_missing",
    "internal_error",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why an event is a dead letter. The SDK itself finds the first four and `too_many_features`."""


class MLGuardError(Exception):
    """The root of every error that ML Guard's SDK raises on purpose."""

    retriable = False


class EventError(MLGuardError, ValueError):
    """An event that breaks the contract: `reason` is a dead letter's, `detail` names the field, never a value."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.field = field

    def __reduce__(self) -> tuple[type[EventError], tuple[Reason, str, str | None]]:
        return type(self), (self.reason, self.detail, self.field)


class IncompleteBatchError(MLGuardError):
    """Not every row arrived. With a `batch_id` the same call may be repeated: what had arrived counts once."""

    retriable = True

    def __init__(
        self, rows: int, arrived: int, given: int, dropped: dict[str, int], batch_id: str | None
    ) -> None:
        self.rows = rows
        self.arrived = arrived
        self.dropped = {reason: count for reason, count in dropped.items() if count and reason != "rejected"}
        lost = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        why = f"lost: {lost}" if lost else "the time ran out, or the client was closed"
        again = (
            f"repeat the call with batch_id={batch_id!r}: what had arrived counts once"
            if batch_id
            else "give batch_id=, so that a repeated call counts once"
        )
        super().__init__(f"{arrived:,} of {rows:,} rows arrived ({why}; {rows - given:,} not tried); {again}")
        self._arguments = (rows, arrived, given, dropped, batch_id)

    def __reduce__(self) -> tuple[type[IncompleteBatchError], tuple[Any, ...]]:
        return type(self), self._arguments


class ConfigError(MLGuardError, ValueError):
    """The client was set up in a way that cannot work; the message says what to change."""


class MissingExtraError(ConfigError, ImportError):
    """An optional package is not installed; the message says which command installs it."""


class TransportError(MLGuardError):
    """A request did not succeed. `status` is the HTTP status, where there was an answer."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ConnectionLostError(TransportError):
    """Nobody answered, or the answer broke off: the request may or may not have arrived."""

    retriable = True


class OverloadedError(TransportError):
    """429 or 503: the server asks to come back after `retry_after_s` seconds."""

    retriable = True


class ServerError(TransportError):
    """The server failed (5xx)."""

    retriable = True


class RefusedError(TransportError):
    """The server refused the request (4xx); the same request will never pass."""


class UnauthorizedError(RefusedError):
    """401: there was no API key, or a wrong or revoked one."""


class ForbiddenError(RefusedError):
    """403: the key is good, but not for this project or this kind of call."""


class NotFoundError(RefusedError):
    """404: no such project, model, row or address."""


class ConflictError(RefusedError):
    """409: it exists already, or it changed meanwhile."""


class TooLargeError(RefusedError):
    """413: the body is over the server's limit."""


class InvalidError(RefusedError):
    """422: the server does not accept these values."""


_BY_STATUS: dict[int, type[TransportError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    422: InvalidError,
    429: OverloadedError,
    503: OverloadedError,
}


def error_of_status(status: int, message: str, retry_after_s: float | None = None) -> TransportError:
    """The error that an HTTP status stands for.

    >>> error_of_status(503, "busy", 2.0).retriable
    True
    >>> type(error_of_status(418, "teapot")).__name__
    'RefusedError'
    """
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else RefusedError)
    return kind(message, status, retry_after_s)
