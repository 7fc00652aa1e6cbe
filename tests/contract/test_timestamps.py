"""Which instant is meant? Expected values come from the standard library or are worked out by hand."""

import math
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_guard.errors import EventError
from ml_guard.timestamps import LATEST_US, MILLISECONDS_FROM, parse_us

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
NEW_YEAR_2025 = 1_735_689_600_000_000


def since_epoch_us(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


@given(st.datetimes(datetime(1970, 1, 2), datetime(8999, 12, 30), timezones=OFFSETS))  # noqa: DTZ001 - with zones
def test_text_means_what_datetime_says(instant: datetime) -> None:
    assert parse_us(instant.isoformat()) == since_epoch_us(instant)


@given(st.integers(0, int(MILLISECONDS_FROM) - 1))
def test_small_numbers_are_seconds(seconds: int) -> None:
    assert parse_us(seconds) == seconds * 1_000_000


@given(st.integers(int(MILLISECONDS_FROM), 4_000_000_000_000))
def test_large_numbers_are_milliseconds(milliseconds: int) -> None:
    assert parse_us(milliseconds) == parse_us(float(milliseconds)) == milliseconds * 1000


@given(st.integers(0, 4_000_000_000_000_000))
def test_seconds_as_floats_keep_their_microseconds(us: int) -> None:
    assert parse_us(us / 1e6) == us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2025-01-01T00:00:00Z", 0),
        ("2025-01-01t00:00:00z", 0),
        ("2025-01-01 00:00:00Z", 0),
        ("2025-01-01T00:00:00+00:00", 0),
        ("2025-01-01T00:00:00-00:00", 0),
        ("2025-01-01T05:45:00+05:45", 0),
        ("2025-01-01T00:00:00.5Z", 500_000),
        ("2025-01-01T00:00:00.123456Z", 123_456),
        ("2025-01-01T00:00:00.123456789Z", 123_457),
        ("2024-12-31T23:59:60Z", 0),
        ("2025-01-01T05:29:60+05:30", 0),
        ("2024-12-31T23:59:60.25Z", 250_000),
        ("2024-12-31t23:59:60z", 0),
    ],
)
def test_forms_of_rfc_3339(text: str, us: int) -> None:
    assert parse_us(text) == NEW_YEAR_2025 + us


@pytest.mark.parametrize("text", ["2025-01-01T00:00:00", "2025-01-01 00:00:00.5", "2025-01-01T00:00:60"])
def test_text_without_an_offset_is_refused_for_that(text: str) -> None:
    with pytest.raises(EventError, match="has no offset") as caught:
        parse_us(text)
    assert caught.value.reason == "naive_timestamp"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2025-01-02",
        "20250101T000000Z",
        "2025-01-01T24:00:00Z",
        "2025-02-30T00:00:00Z",
        "2025-01-01T00:00:61Z",
        "2025-13-01T00:00:60Z",
        "2025-01-01T00:00:00+25:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
        "9000-01-01T00:00:00Z",
        "9999-12-31T23:59:60-14:00",
        "２025-01-01T00:00:00Z",
        -1,
        math.nan,
        math.inf,
        1e300,
        NEW_YEAR_2025,
        NEW_YEAR_2025 * 1000,
        LATEST_US / 1000,
    ],
)
def test_what_is_no_instant_is_refused_without_showing_it(value: str | float) -> None:
    with pytest.raises(EventError) as caught:
        parse_us(value)
    assert caught.value.reason == "invalid_timestamp"
    assert caught.value.field == "timestamp"
    assert not value or str(value) not in caught.value.detail


@given(st.text(max_size=40) | st.floats() | st.integers())
def test_nothing_raises_anything_but_our_error(value: str | float) -> None:
    try:
        outcome: int | str = parse_us(value)
    except EventError as error:
        outcome = error.reason
    assert outcome in ("invalid_timestamp", "naive_timestamp") or 0 <= int(outcome) < LATEST_US
