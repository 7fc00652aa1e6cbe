"""Does the oracle itself count right? A case that is small enough to be worked out by hand, and properties."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_guard.replay.oracle import DayKey, Truth, day_bounds, instant
from ml_guard.replay.record import Record

ZONE = "America/Toronto"


def event(at: str | float, **features: object) -> dict[str, object]:
    return {
        "project_id": "p",
        "model_id": "m",
        "endpoint": "predict",
        "timestamp": at,
        "y_pred": True,
        "features": features,
    }


def single(at: str | float, **features: object) -> Record:
    return Record(json.dumps(event(at, **features)).encode(), 0, 0)


def batch(
    *events: dict[str, object], repeated: bool = False, dead: tuple[tuple[int, str], ...] = ()
) -> Record:
    body = {"project_id": "p", "batch_id": "b", "part": 0, "events": events}
    return Record(json.dumps(body).encode(), 0, 0, len(events), dead, repeated)


def test_a_small_topic_counted_by_hand() -> None:
    """Toronto's clocks go back on 2025-11-02, which is 25 hours long: 04:00Z to 05:00Z of the next day."""
    truth = Truth({"p": ZONE})
    records = [
        single("2025-11-02T03:59:59.999Z", age=1),  # still the 1st
        single("2025-11-02T04:00:00Z", age=2, country="CA"),
        single("2025-11-02T23:59:59-05:00", age=4, country="US"),  # the 25th hour's last second
        single("2025-11-03T05:00:00Z", age=8),  # the 3rd
        batch(
            event(1762066800, age=None, country="CA"), event(1762066800000, age=float("nan"), premium=False)
        ),
        batch(event(1762066800, age=None, country="CA"), event(1762066800000), repeated=True),
        batch(event("2025-11-02T12:00:00Z", age=6), event("yesterday"), dead=((1, "invalid_timestamp"),)),
        Record(b"{", 0, 0, dead=((0, "invalid_json"),)),
    ]
    truth.add(records, [(0, offset) for offset in range(len(records))])
    day = truth.days[DayKey("p", "m", "predict", date(2025, 11, 2))]
    assert day.events == 5
    assert (day.first, day.last) == (
        datetime(2025, 11, 2, 4, tzinfo=UTC),
        datetime(2025, 11, 3, 4, 59, 59, tzinfo=UTC),
    )
    assert day.numbers("age") == [2, 4, 6]
    assert day.non_finite("age") == 1
    assert day.labels("country", "categorical") == Counter(CA=2, US=1)
    assert day.labels("premium", "boolean") == Counter(false=1)
    assert day.labels("@y_pred", "boolean") == Counter(true=5)
    assert truth.merged == {("p", date(2025, 11, d)): n for d, n in ((1, 1), (2, 5), (3, 1))}
    assert truth.duplicate == {"p": 2}
    assert truth.dead == {(0, 6, 1): "invalid_timestamp", (0, 7, 0): "invalid_json"}
    window = truth.window("p", "m", "predict", [date(2025, 11, 1), date(2025, 11, 2)])
    assert (window.events, sorted(window.numbers("age"))) == (6, [1, 2, 4, 6])


@pytest.mark.parametrize(
    "same",
    [
        "2025-11-02T07:00:00Z",
        "2025-11-02T12:45:00+05:45",
        "2025-11-02T02:00:00-05:00",
        1762066800,
        1762066800000,
    ],
)
def test_a_timestamp_means_the_same_instant_in_every_form(same: str | float) -> None:
    assert instant(same) == datetime(2025, 11, 2, 7, tzinfo=UTC)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(
        [ZONE, "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "UTC"]
    ),
)
def test_every_instant_lies_in_the_day_that_its_zone_shows(at: datetime, zone: str) -> None:
    start, end = day_bounds(at.astimezone(ZoneInfo(zone)).date(), zone)
    assert start <= at < end
    assert timedelta(0) < end - start <= timedelta(hours=25)
