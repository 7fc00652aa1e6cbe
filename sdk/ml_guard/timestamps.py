"""Which instant does an event's `timestamp` mean, in microseconds since 1970 UTC?

RFC 3339 text with an offset, or a number of seconds or milliseconds since the epoch. Text without an offset
is refused with a reason of its own, since guessing a zone moves events into the wrong day.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import msgspec

from ml_guard.errors import EventError

MILLISECONDS_FROM = 1e11
"""A number below this is seconds, from it on milliseconds.

1e11 seconds is the year 5138 and 1e11 milliseconds is 3 March 1973: no event of today is near either, and
numbers in microseconds or nanoseconds land behind `LATEST_US`, where they are refused by name."""

EARLIEST_US = 0
LATEST_US = 221_845_392_000_000_000
"""1970-01-01 up to 9000-01-01: inside it, day arithmetic in any zone stays within `datetime`'s years."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LEAP_SECOND = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)60((?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?)", re.ASCII
).fullmatch
_convert = msgspec.convert


def parse_us(value: str | float) -> int:
    """Microseconds since the epoch of an RFC 3339 text, or of a number of seconds or milliseconds.

    Digits behind the microsecond are rounded; second 60 is the first instant of the next minute.
    Raises `EventError` with `naive_timestamp` or `invalid_timestamp`.

    >>> parse_us("2025-01-01T00:00:00Z") == parse_us("2025-01-01t05:30:00+05:30") == parse_us(1735689600)
    True
    >>> parse_us(1735689600) == parse_us(1735689600000)
    True
    >>> parse_us("2016-12-31T23:59:60Z") == parse_us("2017-01-01T00:00:00Z")
    True
    """
    if isinstance(value, str):
        try:
            since = _convert(value, datetime) - _EPOCH
        except (msgspec.ValidationError, OverflowError):
            since = _leap_second(value)
        except TypeError:
            raise _naive() from None
        us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        if EARLIEST_US <= us < LATEST_US:
            return us
        raise _invalid("lies before 1970" if us < EARLIEST_US else "lies behind the year 9000")
    if EARLIEST_US <= value < LATEST_US / 1000:
        return round(value * (1e6 if value < MILLISECONDS_FROM else 1e3))
    if value >= LATEST_US / 1000:
        raise _invalid(
            "is too large a number: give seconds or milliseconds since 1970, not micro- or nanoseconds"
        )
    raise _invalid("is no number of seconds or milliseconds since 1970")


def _leap_second(text: str) -> timedelta:
    match = _LEAP_SECOND(text)
    if match is None:
        raise _invalid("is not RFC 3339 text such as 2025-01-01T00:00:00Z")
    try:
        since = _convert(match[1] + "59" + match[2], datetime) - _EPOCH
    except msgspec.ValidationError:
        raise _invalid("is not RFC 3339 text such as 2025-01-01T00:00:00Z") from None
    except TypeError:
        raise _naive() from None
    return since + timedelta(seconds=1)


def _invalid(what: str) -> EventError:
    return EventError("invalid_timestamp", f"timestamp {what}", "timestamp")


def _naive() -> EventError:
    return EventError(
        "naive_timestamp",
        "timestamp has no offset: end it with Z, or with an offset such as +02:00",
        "timestamp",
    )
