"""Which instants do a column of timestamps mean?

RFC 3339 text in UTC is read by the column: its digits as one matrix of bytes, checked and added up by numpy. What is
written in any other way goes to `ml_guard.timestamps.parse_us` one by one, which also words the reasons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ml_guard.errors import EventError
from ml_guard.timestamps import parse_us

Instants = npt.NDArray[np.int64]

_SECONDS_LENGTH = len("2025-01-01T00:00:00")
_MICROSECOND_DIGITS = 6
_FRACTIONS = {_SECONDS_LENGTH + 1: 0} | {
    _SECONDS_LENGTH + 2 + n: n for n in range(1, _MICROSECOND_DIGITS + 1)
}
"""Digits behind the second, by the text's length."""
_ONLY_TEXT = {str}
_FEW = 8
"""Texts of one length below which numpy's fixed costs are more than reading them one by one."""
_SEPARATORS = ((4, ord("-")), (7, ord("-")), (10, ord("T")), (13, ord(":")), (16, ord(":")))
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]
_FIRST_YEAR, _END_YEAR = 1970, 9000
# By month since January 1970: days from the epoch to its first, and how many it has.
_MONTHS = (
    np.arange(f"{_FIRST_YEAR}-01", f"{_END_YEAR}-02", dtype="datetime64[M]")
    .astype("datetime64[D]")
    .astype(np.int64)
)
_MONTH_LENGTHS = np.diff(_MONTHS)


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
    lengths = set(map(len, values)) if set(map(type, values)) == _ONLY_TEXT else ()  # type: ignore[arg-type]
    if len(lengths) == 1 and n >= _FEW:
        (length,) = lengths
        if length in _FRACTIONS:
            instants, good = _parse_utc(values, length)  # type: ignore[arg-type]
            return instants, {} if good.all() else _one_by_one(
                values, np.flatnonzero(~good).tolist(), instants
            )
    return _mixed_column(values, arrivals_ms)


def _mixed_column(
    values: Sequence[float | str | None], arrivals_ms: Sequence[int]
) -> tuple[Instants, Mapping[int, EventError]]:
    instants = np.zeros(len(values), dtype=np.int64)
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
        if length not in _FRACTIONS or len(positions) < _FEW:
            slow.extend(positions)
            continue
        read, good = _parse_utc([values[position] for position in positions], length)  # type: ignore[misc]
        where = np.array(positions)
        instants[where[good]] = read[good]
        slow.extend(where[~good].tolist())
    return instants, _one_by_one(values, slow, instants)


def _one_by_one(
    values: Sequence[float | str | None], positions: Iterable[int], instants: Instants
) -> dict[int, EventError]:
    errors = {}
    for position in positions:
        value = values[position]
        try:
            instants[position] = parse_us(value)  # type: ignore[arg-type]
        except EventError as error:
            errors[position] = error
    return errors


def _parse_utc(texts: Sequence[str], length: int) -> tuple[Instants, npt.NDArray[np.bool_]]:
    """Texts of one length in the form `2025-01-01T00:00:00[.ffffff]Z`, and which of them are that and valid."""
    n, fraction = len(texts), _FRACTIONS[length]
    try:
        raw = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8)
    except UnicodeEncodeError:
        return np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    table = np.ascontiguousarray(raw.reshape(n, length).T)
    good: npt.NDArray[np.bool_] = table[length - 1] == ord("Z")
    for position, separator in _SEPARATORS:
        good &= table[position] == separator
    behind = range(_SECONDS_LENGTH + 1, _SECONDS_LENGTH + 1 + fraction)
    if fraction:
        good &= table[_SECONDS_LENGTH] == ord(".")
    digits = table - ord(
        "0"
    )  # wraps around below "0", so that one comparison finds every character that is no digit
    good &= digits[[*_DIGITS, *behind]].max(axis=0) <= 9

    def two(first: int) -> npt.NDArray[np.uint8]:
        pair: npt.NDArray[np.uint8] = digits[first] * np.uint8(10) + digits[first + 1]
        return pair

    month, day, hour, minute, second = two(5), two(8), two(11), two(14), two(17)
    year = two(0).astype(np.int64) * 100 + two(2)
    good &= (year >= _FIRST_YEAR) & (year < _END_YEAR) & (month >= 1) & (month <= 12)
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = np.where(good, (year - _FIRST_YEAR) * 12 + month - 1, 0)
    good &= (day >= 1) & (day <= _MONTH_LENGTHS[months])
    hours = (_MONTHS[months] + day - 1) * 24 + hour
    instants: Instants = np.asarray(
        (hours * 3600 + minute * np.int64(60) + second) * 1_000_000, dtype=np.int64
    )
    if fraction:
        part = np.zeros(n, dtype=np.int64)
        for position in behind:
            part = part * 10 + digits[position]
        instants += part * 10 ** (_MICROSECOND_DIGITS - fraction)
    return instants, good
