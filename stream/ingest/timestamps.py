"""Which instants do a column of timestamps mean?

RFC 3339 text in UTC is read by the column: its digits as one matrix of bytes, checked and added up by numpy. What is
written in any other way goes to `ml_guard.timestamps.parse_us` one by one, which also words the reasons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from ml_guard.errors import EventError
from ml_guard.timestamps import LATEST_US, parse_us

Instants = npt.NDArray[np.int64]

_SECONDS_LENGTH = len("2025-01-01T00:00:00")
_MICROSECOND_DIGITS = 6
_FEW = 8
"""Texts of one length below which numpy's fixed costs are more than reading them one by one."""
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_SEPARATORS = ((4, ord("-")), (7, ord("-")), (10, ord("T")), (13, ord(":")), (16, ord(":")))
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]


def parse_column(
    values: Sequence[float | str | None], arrivals_ms: Sequence[int]
) -> tuple[Instants, Mapping[int, EventError]]:
    """Microseconds since the epoch of each timestamp; of an absent one, its arrival.

    Returns
    -------
    instants_us : ndarray of int64, shape (n,)
        Undefined at the positions in `errors`.
    errors : mapping from position to EventError
    """
    n = len(values)
    instants = np.zeros(n, dtype=np.int64)
    errors: dict[int, EventError] = {}
    slow: list[int] = []
    by_length: dict[int, list[int]] = defaultdict(list)
    for position, value in enumerate(values):
        if type(value) is str:
            by_length[len(value)].append(position)
        elif value is None:
            instants[position] = arrivals_ms[position] * 1000
        else:
            slow.append(position)
    for length, positions in by_length.items():
        fraction = length - _SECONDS_LENGTH - 2 if length > _SECONDS_LENGTH + 1 else 0
        fast = length == _SECONDS_LENGTH + 1 or 1 <= fraction <= _MICROSECOND_DIGITS
        if not fast or len(positions) < _FEW:
            slow.extend(positions)
            continue
        texts = values if len(positions) == n else [values[position] for position in positions]
        read, good = _parse_utc(texts, length, fraction)  # type: ignore[arg-type]
        if good.all():
            instants[positions] = read
        else:
            where = np.array(positions)
            instants[where[good]] = read[good]
            slow.extend(where[~good].tolist())
    for position in slow:
        value = values[position]
        try:
            instants[position] = parse_us(value)  # type: ignore[arg-type]
        except EventError as error:
            errors[position] = error
    return instants, errors


def _parse_utc(texts: Sequence[str], length: int, fraction: int) -> tuple[Instants, npt.NDArray[np.bool_]]:
    """Texts of one length in the form `2025-01-01T00:00:00[.ffffff]Z`, and which of them are that and valid."""
    n = len(texts)
    try:
        raw = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8)
    except UnicodeEncodeError:
        return np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    table = np.ascontiguousarray(raw.reshape(n, length).T)
    good = table[length - 1] == ord("Z")
    for position, separator in _SEPARATORS:
        good &= table[position] == separator
    digits = table.astype(np.int64) - ord("0")
    columns = list(_DIGITS)
    if fraction:
        good &= table[_SECONDS_LENGTH] == ord(".")
        columns += range(_SECONDS_LENGTH + 1, _SECONDS_LENGTH + 1 + fraction)
    numerals = digits[columns]
    good &= ((numerals >= 0) & (numerals <= 9)).all(axis=0)

    def number(first: int, count: int) -> Instants:
        total = digits[first]
        for position in range(first + 1, first + count):
            total = total * 10 + digits[position]
        return total

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    good &= (year >= 1970) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= day <= _DAYS_IN_MONTH[np.where(good, month, 0)] + (leap & (month == 2))
    seconds = (_days_from_civil(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    instants = seconds * 1_000_000
    if fraction:
        instants = instants + number(_SECONDS_LENGTH + 1, fraction) * 10 ** (_MICROSECOND_DIGITS - fraction)
    return instants, good & (instants < LATEST_US)


def _days_from_civil(year: Instants, month: Instants, day: Instants) -> Instants:
    """Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`), for years from 1970."""
    year = year - (month <= 2)
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    result: Instants = era * 146_097 + day_of_era - 719_468
    return result
