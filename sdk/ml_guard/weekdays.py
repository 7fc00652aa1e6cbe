"""Which weekdays does a baseline stand for, and how are they written?

Weekdays are ISO numbers, Monday 1 to Sunday 7, each set in order; a group that is None holds all days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ml_guard.errors import ConfigError

_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NAMES = tuple(name[:3].capitalize() for name in _FULL)
EACH = [[day] for day in range(1, 8)]
WORKDAY_WEEKEND = [[1, 2, 3, 4, 5], [6, 7]]
COMMON = {"weekday": EACH, "workday-weekend": WORKDAY_WEEKEND}
ALL = "all"


def named(weekdays: Sequence[int] | None) -> str:
    """A set of weekdays for people.

    >>> named([1, 2, 3, 4, 5]), named([6]), named([1, 3, 6, 7]), named(None)
    ('Mon-Fri', 'Sat', 'Mon, Wed, Sat, Sun', 'all')
    """
    if weekdays is None:
        return ALL
    runs: list[list[int]] = []
    for day in sorted(weekdays):
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(
        f"{NAMES[run[0] - 1]}-{NAMES[run[-1] - 1]}"
        if len(run) > 2
        else ", ".join(NAMES[day - 1] for day in run)
        for run in runs
    )


def groups(text: str) -> list[list[int]] | None:
    """The groups that `all`, `weekday`, `workday-weekend`, or a list such as `mon-thu,fri,sat+sun` names; None: all days.

    >>> groups("workday-weekend"), groups("mon-thu,fri,sat+sun"), groups("all")
    ([[1, 2, 3, 4, 5], [6, 7]], [[1, 2, 3, 4], [5], [6, 7]], None)

    Raises:
        ConfigError: if it names no weekdays, or one twice.
    """
    text = text.strip().lower()
    if text == ALL:
        return None
    if text in COMMON:
        return [list(group) for group in COMMON[text]]
    found = [sorted(day for part in one.split("+") for day in _span(part)) for one in text.split(",")]
    check(found)
    return found


def check(found: Iterable[Sequence[int]]) -> None:
    """Whether groups are of weekdays and share none.

    Raises:
        ConfigError: if they are not.
    """
    seen: set[int] = set()
    for group in found:
        for day in group:
            if not 1 <= day <= 7:
                raise ConfigError(f"weekdays are 1 (Monday) to 7 (Sunday), not {day}")
            if day in seen:
                raise ConfigError(f"{NAMES[day - 1]} is named twice: a day has one baseline")
            seen.add(day)
        if not group:
            raise ConfigError("a group of weekdays is empty")


def _span(part: str) -> range:
    first, dash, last = part.strip().partition("-")
    begin, end = _number(first), _number(last) if dash else _number(first)
    if end < begin:
        raise ConfigError(f"{part} runs backwards: weeks begin on Monday")
    return range(begin, end + 1)


def _number(name: str) -> int:
    name = name.strip()
    for number, day in enumerate(_FULL, start=1):
        if len(name) >= 3 and day.startswith(name):
            return number
    raise ConfigError(
        f"{name!r} is not a weekday: give all, weekday, workday-weekend, or days such as mon-thu,fri,sat+sun"
    )
