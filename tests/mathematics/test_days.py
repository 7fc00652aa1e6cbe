"""Do local days partition time, in every zone and through every change of zone?"""

from __future__ import annotations

import random
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.days import (
    EARLIEST_US,
    LATEST_US,
    Calendar,
    Day,
    UnknownZoneError,
    day_start,
    from_us,
    load_zone,
    next_day_start,
    to_us,
    zone_names,
)

ZONES = sorted(zone_names())
DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def local_date(instant_us: int, zone: str) -> date:
    return from_us(instant_us).astimezone(load_zone(zone)).date()


def changes(zone: str, begin_us: int, end_us: int, step_us: int) -> list[int]:
    """Instants at which the zone's offset changes, found by looking at every step and halving between."""
    rules = load_zone(zone)

    def offset(instant_us: int) -> timedelta | None:
        return from_us(instant_us).astimezone(rules).utcoffset()

    found = []
    for low, high in pairwise(range(begin_us, end_us + step_us, step_us)):
        before = offset(low)
        if offset(high) == before:
            continue
        while high - low > 1_000_000:
            middle = (low + high) // 2_000_000 * 1_000_000
            low, high = (middle, high) if offset(middle) == before else (low, middle)
        found.append(high)
    return found


def first_instant(day: date, zone: str) -> int:
    """The definition, read literally: the first instant whose local date is on or after the day.

    It is where some offset in use reaches midnight, or where the offset changes; the earliest of these that is on or
    after the day.
    """
    midnight = us(f"{day.isoformat()}T00:00:00+00:00")
    turns = changes(zone, midnight - 30 * HOUR_US, midnight + 30 * HOUR_US, HOUR_US // 2)
    rules = load_zone(zone)
    offsets = {
        from_us(at).astimezone(rules).utcoffset() // timedelta(microseconds=1)  # type: ignore[operator]
        for at in [midnight - 30 * HOUR_US, *turns]
    }
    candidates = [*turns, *(midnight - offset for offset in offsets)]
    return min(at for at in candidates if local_date(at, zone) >= day)


@lru_cache(maxsize=1)
def all_changes() -> list[tuple[str, int]]:
    """Every change of every distinct zone from 1960 to 2037."""
    distinct = {}
    sample = [
        us(f"{year}-{month}-01T00:00:00+00:00") for year in range(1960, 2040, 3) for month in ("01", "07")
    ]
    for zone in ZONES:
        rules = load_zone(zone)
        distinct.setdefault(tuple(from_us(at).astimezone(rules).utcoffset() for at in sample), zone)
    begin, end = us("1960-01-01T00:00:00+00:00"), us("2038-01-01T00:00:00+00:00")
    return [(zone, at) for zone in distinct.values() for at in changes(zone, begin, end, 14 * DAY_US)]


# Hand-computed: local midnight minus the offset in force, both from the zone's published rules.
NAMED = [
    ("America/Toronto", "2025-03-09", "2025-03-09T05:00Z", "2025-03-10T04:00Z", 23.0),  # -5, then -4
    ("America/Toronto", "2025-11-02", "2025-11-02T04:00Z", "2025-11-03T05:00Z", 25.0),
    ("Australia/Lord_Howe", "2025-04-06", "2025-04-05T13:00Z", "2025-04-06T13:30Z", 24.5),  # +11, then +10:30
    ("Australia/Lord_Howe", "2025-10-05", "2025-10-04T13:30Z", "2025-10-05T13:00Z", 23.5),
    ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", "2018-11-05T02:00Z", 23.0),  # begins at 01:00
    ("America/Havana", "2025-03-09", "2025-03-09T05:00Z", "2025-03-10T04:00Z", 23.0),  # begins at 01:00
    ("Asia/Kathmandu", "2025-06-15", "2025-06-14T18:15Z", "2025-06-15T18:15Z", 24.0),  # +5:45
    ("Pacific/Chatham", "2025-04-06", "2025-04-05T10:15Z", "2025-04-06T11:15Z", 25.0),  # +13:45, then +12:45
    ("Pacific/Chatham", "2025-09-28", "2025-09-27T11:15Z", "2025-09-28T10:15Z", 23.0),
    ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00Z", "2011-12-30T10:00Z", 24.0),  # -10, then +14
    ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z", "2011-12-31T10:00Z", 24.0),
    ("America/St_Johns", "2010-11-06", "2010-11-06T02:30Z", "2010-11-07T02:30Z", 24.0),  # -2:30
    ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z", "2010-11-08T03:30Z", 25.0),  # back at 00:01
    ("Antarctica/Troll", "2025-03-30", "2025-03-30T00:00Z", "2025-03-30T22:00Z", 22.0),  # 0, then +2
    ("Antarctica/Troll", "2025-10-26", "2025-10-25T22:00Z", "2025-10-27T00:00Z", 26.0),
    ("Pacific/Kwajalein", "1969-09-30", "1969-09-29T13:00Z", "1969-10-01T12:00Z", 47.0),  # +11, then -12
    ("UTC", "2024-02-29", "2024-02-29T00:00Z", "2024-03-01T00:00Z", 24.0),
]


@pytest.mark.parametrize(("zone", "name", "start", "end", "hours"), NAMED)
def test_named_days_have_their_hand_computed_bounds(
    zone: str, name: str, start: str, end: str, hours: float
) -> None:
    calendar = Calendar.of(zone)
    (day,) = calendar.days_on(date.fromisoformat(name))
    assert (day.start, day.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))
    assert day.hours == hours
    assert calendar.day_of(day.start_us) == calendar.day_of(day.end_us - 1) == day


@pytest.mark.parametrize(
    ("zone", "skipped"), [("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21")]
)
def test_a_skipped_date_has_no_day(zone: str, skipped: str) -> None:
    calendar, missing = Calendar.of(zone), date.fromisoformat(skipped)
    assert calendar.days_on(missing) == []
    (before,) = calendar.days_on(missing - timedelta(days=1))
    (after,) = calendar.days_on(missing + timedelta(days=1))
    assert before.end_us == after.start_us


def test_a_date_that_comes_back_does_not_open_its_day_again() -> None:
    calendar = Calendar.of("America/St_Johns")
    again = us("2010-11-07T02:45+00:00")  # 23:15 of the 6th, for the second time
    assert local_date(again, "America/St_Johns") == date(2010, 11, 6)
    assert calendar.day_of(again).day == date(2010, 11, 7)


def test_day_starts_are_first_instants_around_every_change_of_every_zone() -> None:
    for zone, at in all_changes():
        calendar = Calendar.of(zone)
        days = list(calendar.days_between(at - DAY_US, at + DAY_US))
        for day, following in pairwise(days):
            assert day.end_us == following.start_us
            assert day.day < following.day
        for day in days:
            assert day.start_us <= day_start(day.day, zone) == day.start_us
            assert local_date(day.start_us, zone) >= day.day > local_date(day.start_us - 1, zone)


def test_day_starts_equal_the_definition_around_changes() -> None:
    for zone, at in random.Random(1).sample(all_changes(), 400):
        near = local_date(at, zone)
        for day in (near - timedelta(days=1), near, near + timedelta(days=1)):
            assert day_start(day, zone) == first_instant(day, zone), (zone, day)


instants = st.one_of(
    st.integers(EARLIEST_US + 3 * DAY_US, LATEST_US - 3 * DAY_US),
    st.integers(us("1900-01-01T00:00+00:00"), us("2060-01-01T00:00+00:00")),
)


@settings(deadline=None, max_examples=500)
@given(zone=st.sampled_from(ZONES), instant_us=instants)
def test_every_instant_is_in_exactly_one_day_of_every_zone(zone: str, instant_us: int) -> None:
    day = Calendar.of(zone).day_of(instant_us)
    assert day.start_us <= instant_us < day.end_us
    assert day.start_us == day_start(day.day, zone)
    fresh = Calendar.of(zone)  # without the other's memory
    assert fresh.day_of(day.start_us) == fresh.day_of(day.end_us - 1) == day
    assert Calendar.of(zone).day_of(day.start_us - 1).end_us == day.start_us
    assert Calendar.of(zone).day_of(day.end_us).start_us == day.end_us


@settings(deadline=None, max_examples=200)
@given(zone=st.sampled_from(ZONES), day=st.dates(date(1850, 1, 1), date(2100, 1, 1)))
def test_day_start_equals_the_definition(zone: str, day: date) -> None:
    assert day_start(day, zone) == first_instant(day, zone)


@st.composite
def zone_histories(draw: st.DrawFn) -> list[tuple[int, str]]:
    history = [(EARLIEST_US, draw(st.sampled_from(ZONES)))]
    at = draw(st.integers(us("1970-01-01T00:00+00:00"), us("2030-01-01T00:00+00:00")))
    for _ in range(draw(st.integers(0, 4))):
        zone = draw(st.sampled_from(ZONES))
        at = next_day_start(at + draw(st.integers(0, 10 * DAY_US)), zone)
        history.append((at, zone))
    return history


@settings(deadline=None, max_examples=150)
@given(history=zone_histories(), nudge=st.integers(-3 * DAY_US, 3 * DAY_US))
def test_days_partition_time_through_changes_of_zone(history: list[tuple[int, str]], nudge: int) -> None:
    middle = history[len(history) // 2][0]
    begin = max(middle, us("1970-01-01T00:00+00:00")) + nudge - 20 * DAY_US
    calendar = Calendar(history)
    days = list(calendar.days_between(begin, begin + 40 * DAY_US))
    assert days[0].start_us <= begin
    assert days[-1].end_us >= begin + 40 * DAY_US
    for day, following in pairwise(days):
        assert day.start_us < day.end_us == following.start_us
    starts = [at for at, _ in history]
    for day in days:
        in_force = history[max(bisect_right(starts, day.start_us) - 1, 0)][1]
        assert day.zone == in_force
        for instant in (day.start_us, (day.start_us + day.end_us) // 2, day.end_us - 1):
            assert Calendar(history).day_of(instant) == day


def test_a_changed_zone_takes_effect_at_its_next_midnight_and_cuts_the_old_day() -> None:
    asked = us("2025-05-09T16:00+00:00")
    effective = next_day_start(asked, "America/New_York")
    assert from_us(effective) == datetime(2025, 5, 10, 4, tzinfo=UTC)
    calendar = Calendar([(EARLIEST_US, "Asia/Tokyo"), (effective, "America/New_York")])
    tokyo, new_york = calendar.days_on(date(2025, 5, 10))
    assert (tokyo.start, tokyo.end) == (
        datetime(2025, 5, 9, 15, tzinfo=UTC),
        datetime(2025, 5, 10, 4, tzinfo=UTC),
    )
    assert (new_york.start, new_york.hours) == (datetime(2025, 5, 10, 4, tzinfo=UTC), 24.0)
    assert calendar.zone_at(effective - 1) == "Asia/Tokyo"
    assert calendar.zone_at(effective) == "America/New_York"


def test_a_midnight_itself_is_not_the_next_one() -> None:
    midnight = us("2025-05-10T00:00+00:00")
    assert next_day_start(midnight, "UTC") == midnight + DAY_US
    assert next_day_start(midnight - 1, "UTC") == midnight


def test_a_zone_that_was_never_in_force_leaves_no_trace() -> None:
    at = us("2025-05-10T00:00+00:00")
    calendar = Calendar([(0, "UTC"), (at, "Asia/Tokyo"), (at, "UTC"), (at + DAY_US, "UTC")])
    assert calendar.segments == [(EARLIEST_US, "UTC")]


def test_history_that_does_not_begin_at_a_day_start_still_partitions() -> None:
    """An update of tzdata may move a midnight under a stored history: days are cut there, none is lost."""
    at = us("2025-05-10T07:30+00:00")
    calendar = Calendar([(EARLIEST_US, "UTC"), (at, "Asia/Tokyo")])
    before, after = calendar.day_of(at - 1), calendar.day_of(at)
    assert before.end_us == after.start_us == at


@pytest.mark.parametrize(
    "name", ["", "Toronto", "../UTC", "america/toronto", "America/Toronto/", "localtime"]
)
def test_only_zones_of_tzdata_exist(name: str) -> None:
    with pytest.raises(UnknownZoneError, match="IANA"):
        load_zone(name)


def test_histories_out_of_order_or_empty_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        Calendar([(0, "UTC"), (20, "Asia/Tokyo"), (10, "UTC")])
    with pytest.raises(ValueError, match="at least one"):
        Calendar([])


@pytest.mark.parametrize("instant_us", [EARLIEST_US - 1, LATEST_US])
def test_instants_without_a_calendar_are_refused(instant_us: int) -> None:
    with pytest.raises(ValueError, match="years 2 to 9998"):
        Calendar.of("UTC").day_of(instant_us)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "UTC"])
def test_the_edges_of_the_range_have_days(zone: str) -> None:
    for instant_us in (EARLIEST_US, LATEST_US - 1):
        assert instant_us in Calendar.of(zone).day_of(instant_us)


def groups(calendar: Calendar, instants_us: list[int]) -> list[tuple[Day, list[int]]]:
    array = np.array(instants_us, dtype=np.int64)
    positions = np.arange(array.size)
    return [(day, positions[at].tolist()) for day, at in calendar.split(array)]


@settings(deadline=None, max_examples=100)
@given(
    history=zone_histories(),
    offsets=st.lists(st.integers(-10 * DAY_US, 10 * DAY_US), max_size=50),
)
def test_split_puts_each_instant_where_day_of_does(
    history: list[tuple[int, str]], offsets: list[int]
) -> None:
    begin = max(history[-1][0], us("1970-01-01T00:00+00:00"))
    wanted = [begin + offset for offset in offsets]
    found = groups(Calendar(history), wanted)
    assert [day for day, _ in found] == sorted(
        {Calendar(history).day_of(at) for at in wanted}, key=lambda d: d.start_us
    )
    assert sorted(i for _, at in found for i in at) == list(range(len(wanted)))
    for day, at in found:
        assert all(wanted[i] in day for i in at)


def test_split_of_one_day_is_a_slice() -> None:
    calendar = Calendar.of("America/Toronto")
    begin = us("2025-06-15T04:00+00:00")
    array = np.arange(begin, begin + DAY_US, HOUR_US)
    assert calendar.split(array) == [(calendar.day_of(begin), slice(None))]
    assert calendar.split(array[:0]) == []


def test_split_of_far_instants_does_not_walk_the_days_between() -> None:
    calendar = Calendar.of("UTC")
    assert [at for _, at in groups(calendar, [LATEST_US - 1, EARLIEST_US])] == [[1], [0]]
