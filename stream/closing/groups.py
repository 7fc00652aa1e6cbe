"""Which days of a window belong to which group of weekdays, and has each group enough for a baseline of its own?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from ml_guard.weekdays import named
from stream.bins import N_BINS
from stream.closing.errors import NoDaysError, ThinGroupsError, UngroupedDaysError
from stream.drift import WARNING
from stream.store.baselines import Baseline
from stream.weekdays import Weekdays

FEWEST_EVENTS = math.ceil((N_BINS - 1) / (WARNING / 2))
"""With fewer, E0 of ten bins is above half the warning level however large the day: all days are insufficient_data."""

LITTLE_EVENTS = 2 * FEWEST_EVENTS
"""With fewer, a day with as many events as the baseline itself is insufficient_data."""


def partition(
    days: Sequence[date], groups: Sequence[Sequence[int]]
) -> list[tuple[tuple[int, ...] | None, list[date]]]:
    """Each group's weekdays (None: it holds all seven) with its days, in the order of the groups.

    >>> partition([date(2025, 1, 10), date(2025, 1, 11)], [[1, 2, 3, 4, 5], [6, 7]])[1]
    ((6, 7), [datetime.date(2025, 1, 11)])

    Raises
    ------
    NoDaysError, UngroupedDaysError, ThinGroupsError
    """
    wanted = sorted(set(days))
    if not wanted:
        raise NoDaysError
    named_days = {weekday for group in groups for weekday in group}
    left_over = [day for day in wanted if day.isoweekday() not in named_days]
    if left_over:
        raise UngroupedDaysError(left_over)
    found = [(tuple(sorted(group)), [day for day in wanted if day.isoweekday() in group]) for group in groups]
    empty = [f"{named(weekdays)} has no day among those named" for weekdays, part in found if not part]
    if empty:
        raise ThinGroupsError(empty)
    return [(None if len(weekdays) == 7 else weekdays, part) for weekdays, part in found]


def refuse_few_events(groups: Iterable[tuple[Weekdays, int]]) -> None:
    """Whether every group has the events that its days can be tested with.

    Raises
    ------
    ThinGroupsError
        It names all groups that have not.
    """
    thin = [
        f"{named(weekdays)} has {events:,} events, where at least {FEWEST_EVENTS} are needed"
        for weekdays, events in groups
        if events < FEWEST_EVENTS
    ]
    if thin:
        raise ThinGroupsError(thin)


def warnings_of(captured: Iterable[Baseline]) -> Iterable[str]:
    """What a person should know of groups that have little in them."""
    for one in captured:
        if len(one.days) == 1:
            yield (
                f"{named(one.weekdays)}: {one.days[0]} is its only day, and whatever was special about it is now the "
                "norm; take two of them or more"
            )
        if one.events < LITTLE_EVENTS:
            yield f"{named(one.weekdays)}: only {one.events:,} events; days as small as that are insufficient_data"
