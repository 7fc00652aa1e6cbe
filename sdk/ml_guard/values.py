"""What does a value of the host program mean as a number, a text, a boolean, or as missing?

No library is imported to find out: numpy, pandas and torch are known by how their values behave.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any
from uuid import UUID

import msgspec

from ml_guard.errors import EventError
from ml_guard.timestamps import parse_us

Plain = bool | int | float | str | msgspec.Raw | None

_INFINITY = msgspec.Raw(b"1e999")
_MINUS_INFINITY = msgspec.Raw(b"-1e999")
"""Infinity as a JSON number: too large to be finite. msgspec alone would write null, which means missing."""

_INT64 = 2**63
_AS_THEY_ARE = frozenset((bool, str, type(None)))
_MISSING_TYPES = frozenset(("NAType", "NaTType"))
"""pandas' NA and NaT."""
_NUMPY_TIMES = frozenset(("datetime64", "timedelta64"))


def plain(value: object, field: str) -> Plain:
    """The value as JSON can hold it; NaN and its like are missing. Raises `EventError` naming the field.

    >>> plain(Decimal("1.5"), "x"), plain(math.nan, "x"), plain(date(2025, 1, 2), "x")
    (1.5, None, '2025-01-02')
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value  # type: ignore[return-value]
    if kind is float or kind is int:
        return _number(value)  # type: ignore[arg-type]
    return _translated(value, field)


def plain_features(features: Mapping[Any, object]) -> dict[str, Plain]:
    """Each feature's value as JSON can hold it; names that are no text are written as text."""
    values: dict[str, Plain] = {}
    for name, value in features.items():
        kind = type(value)
        text = name if type(name) is str else str(name)
        if (
            kind in _AS_THEY_ARE
            or (kind is float and -math.inf < value < math.inf)  # type: ignore[operator]
            or (kind is int and -_INT64 <= value < _INT64)  # type: ignore[operator]
        ):
            values[text] = value  # type: ignore[assignment]
        else:
            values[text] = plain(value, f"features.{text}")
    return values


def plain_timestamp(value: object) -> float | str:
    """An event's time as the contract writes it, checked. Raises `EventError`.

    >>> plain_timestamp(datetime.fromisoformat("2025-01-01T00:00:00+02:00"))
    '2025-01-01T00:00:00+02:00'
    """
    if isinstance(value, datetime):
        value = value.isoformat()
    elif not isinstance(value, str):
        value = plain(value, "timestamp")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise EventError(
            "invalid_timestamp", "timestamp must be an aware datetime, RFC 3339 text or a number", "timestamp"
        )
    parse_us(value)
    return value


def _number(value: float) -> Plain:
    if type(value) is int:
        return value if -_INT64 <= value < _INT64 else _float(value)
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else _INFINITY if value > 0 else _MINUS_INFINITY


def _translated(value: Any, field: str) -> Plain:
    name = type(value).__name__
    if name in _MISSING_TYPES:
        return None
    if isinstance(value, Enum):
        return plain(value.value, field)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    inner = value.astype(f"{name}[us]").item() if name in _NUMPY_TIMES else _only_one(value)
    if type(inner) is not type(value):
        return plain(inner, field)
    if isinstance(value, (str, UUID)):
        return str(value)
    if isinstance(value, (Real, Decimal)):
        return _float(value)
    raise EventError("invalid_event", f"{field} is a {name}: give a number, text or a boolean", field)


def _float(value: Any) -> Plain:
    try:
        return _number(float(value))
    except OverflowError:
        return _INFINITY if value > 0 else _MINUS_INFINITY
    except ValueError:  # a signalling NaN
        return None


def _only_one(value: Any) -> Any:
    """What a scalar, or an array of one, of numpy, pandas or torch holds; any other value itself."""
    if not callable(getattr(value, "item", None)):
        return value
    numel = getattr(value, "numel", None)
    size = numel() if callable(numel) else getattr(value, "size", 0)
    return value.item() if size == 1 else value
