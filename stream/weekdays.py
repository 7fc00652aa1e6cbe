"""Which of a model's active baselines is a local day compared with?

No two of them share a weekday. A day takes the one that names its weekday, else the one of all days, else none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

Weekdays = tuple[int, ...] | None
"""ISO numbers in order, Monday 1 to Sunday 7; None: all days."""


def version_on(day: date, active: Iterable[tuple[int, Weekdays]]) -> int | None:
    """The version for a day, of versions with their weekdays.

    >>> active = [(4, None), (5, (6, 7))]
    >>> version_on(date(2025, 1, 11), active), version_on(date(2025, 1, 14), active)
    (5, 4)
    >>> version_on(date(2025, 1, 14), active[1:]) is None
    True
    """
    of_all = None
    for version, weekdays in active:
        if weekdays is None:
            of_all = version
        elif day.isoweekday() in weekdays:
            return version
    return of_all


def displaces(new: Weekdays, old: Weekdays) -> bool:
    """Whether a baseline that becomes active ends an active one.

    One of all days ends every other, so that it really holds for all; one of some weekdays ends those that share one
    with it, and leaves the one of all days behind it.

    >>> displaces(None, (6, 7)), displaces((6,), (6, 7)), displaces((6, 7), None), displaces((1,), (2,))
    (True, True, False, False)
    """
    if new is None:
        return True
    return old is not None and not set(new).isdisjoint(old)
