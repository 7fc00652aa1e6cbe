"""Which baseline a day takes, and how groups of weekdays are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_guard.errors import ConfigError
from ml_guard.weekdays import groups, named
from stream.days import Calendar, full_hours, to_us, zone_names
from stream.weekdays import Weekdays, displaces, version_on

SETS = st.one_of(
    st.none(), st.sets(st.integers(1, 7), min_size=1, max_size=6).map(lambda found: tuple(sorted(found)))
)
WEEK = [date(2025, 1, 6) + timedelta(days=n) for n in range(7)]


@given(st.lists(SETS, max_size=12))
def test_whatever_is_activated_the_newest_holds_for_its_days_and_no_day_has_two(
    activated: list[Weekdays],
) -> None:
    active: list[tuple[int, Weekdays]] = []
    for version, weekdays in enumerate(activated, start=1):
        active = [one for one in active if not displaces(weekdays, one[1])] + [(version, weekdays)]
        for day in WEEK:
            naming = [one for one, some in active if some is not None and day.isoweekday() in some]
            assert len(naming) <= 1
            if weekdays is None or day.isoweekday() in weekdays:
                assert version_on(day, active) == version
        assert sum(some is None for _, some in active) <= 1


@given(st.permutations(range(1, 8)), st.sets(st.integers(1, 6)))
def test_groups_that_are_written_are_read_again(days: list[int], cuts: set[int]) -> None:
    bounds = [0, *sorted(cuts), 7]
    parts = [sorted(days[a:b]) for a, b in pairwise(bounds)]
    assert groups(",".join(named(part).replace(", ", "+") for part in parts)) == parts


@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_groups(text: str) -> None:
    try:
        found = groups(text)
    except ConfigError:
        return
    assert found is None or sorted(day for group in found for day in group) == sorted(
        {day for group in found for day in group}
    )


@pytest.mark.parametrize("zone", sorted(zone_names())[::7])
def test_full_hours_are_in_order_and_inside_their_day(zone: str) -> None:
    calendar = Calendar.of(zone)
    for day in calendar.days_between(_us(2025, 3, 1), _us(2025, 4, 10)):
        hours = full_hours(day)
        instants = [instant for _, instant in hours]
        assert instants == sorted(instants)
        assert all(day.start_us < instant < day.end_us for instant in instants)
        if day.hours == 24:
            assert [hour for hour, _ in hours] == list(range(1, 24))
            assert {b - a for a, b in pairwise(instants)} == {3_600_000_000}


def _us(year: int, month: int, day: int) -> int:
    return to_us(datetime(year, month, day, tzinfo=UTC))
