"""What does an HTTP answer of ML Guard's API mean: a value, or which error?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from ml_guard.errors import TransportError, error_of_status

if TYPE_CHECKING:
    import httpx

_LONGEST_DETAIL = 500


class Problem(msgspec.Struct, frozen=True):
    """The part of an `application/problem+json` (RFC 9457) that a person reads."""

    title: str = ""
    detail: str = ""
    errors: list[Any] = []


def error_of(response: httpx.Response) -> TransportError:
    """The error that an answer of 400 and more stands for, in the server's own words."""
    request = response.request
    message = f"{request.method} {request.url.path} was answered {response.status_code}"
    problem = _problem(response)
    if problem is not None:
        message += f": {problem.detail or problem.title}"
        fields = [f"{e['field']}: {e['message']}" for e in problem.errors if _is_field_error(e)]
        if fields:
            message += f" ({'; '.join(fields)})"
    return error_of_status(
        response.status_code, message[:_LONGEST_DETAIL], retry_after_s(response.headers.get("retry-after"))
    )


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for: a number, or a date.

    >>> retry_after_s("3"), retry_after_s("soon"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT")
    (3.0, None, 0.0)
    """
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime  # 15 ms that few hosts ever need

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_field_error(entry: Any) -> bool:
    return isinstance(entry, dict) and "field" in entry and "message" in entry
