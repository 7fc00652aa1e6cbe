"""Is a value of the host program taken for what it means?"""

import enum
import json
import math
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_guard.decoding import EventDecoder
from ml_guard.encoding import EventEncoder
from ml_guard.errors import EventError
from ml_guard.values import plain, plain_timestamp


class Plan(enum.Enum):
    GOLD = "gold"


class Colour(str, enum.Enum):
    RED = "red"


class NAType:
    """As pandas' NA behaves: no truth value, equal to nothing."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NaTType:
    """As pandas' NaT behaves."""


class Tensor:
    """As a torch tensor behaves: `size` is a method."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def size(self) -> tuple[int, ...]:
        return (len(self.values),)

    def numel(self) -> int:
        return len(self.values)

    def item(self) -> float:
        (value,) = self.values
        return value


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        (7, 7),
        (2**63, 2.0**63),
        (1.5, 1.5),
        (math.nan, None),
        ("007", "007"),
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.25), 0.25),
        (np.float64("nan"), None),
        (np.int64(-7), -7),
        (np.uint8(7), 7),
        (np.bool_(True), True),
        (np.str_("CA"), "CA"),
        (np.array(3), 3),
        (np.array([3.5]), 3.5),
        (np.datetime64("2025-01-02T03:04:05.000000001"), "2025-01-02T03:04:05"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(1500, "ms"), 1.5),
        (Tensor(0.5), 0.5),
        (NAType(), None),
        (NaTType(), None),
        (Decimal("1.25"), 1.25),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        (Fraction(1, 4), 0.25),
        (Plan.GOLD, "gold"),
        (Colour.RED, "red"),
        (date(2025, 1, 2), "2025-01-02"),
        (datetime(2025, 1, 2, tzinfo=timezone.utc), "2025-01-02T00:00:00+00:00"),
        (timedelta(seconds=90), 90.0),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_value_means(value: object, meaning: object) -> None:
    got = plain(value, "features.x")
    assert got == meaning
    assert type(got) is type(meaning)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (np.float32("-inf"), -math.inf),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (Fraction(10**400), math.inf),
        (Decimal("-1e999"), -math.inf),
    ],
)
def test_infinity_arrives_as_infinity(value: object, expected: float) -> None:
    _, raw = EventEncoder(500).encode({"project_id": "p", "model_id": "m", "features": {"x": value}})
    json.loads(raw)
    assert EventDecoder().event(raw).features == {"x": expected}


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x", np.array([1, 2]), Tensor(1, 2), 1j, object(), {1}])
def test_what_cannot_be_is_refused_with_the_name_of_the_feature(value: object) -> None:
    with pytest.raises(EventError) as caught:
        EventEncoder(500).encode({"project_id": "p", "model_id": "m", "features": {"bad one": value}})
    assert caught.value.field == "features.bad one"
    assert type(value).__name__ in caught.value.detail


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=9), st.floats(), max_size=5)
)
def test_what_the_encoder_writes_the_decoder_reads(features: dict[str, float]) -> None:
    row = {"project_id": "p", "model_id": "m", "features": features}
    try:
        _, raw = EventEncoder(500).encode(row)
    except EventError as error:
        refused = error.field or ""
    else:
        refused = ""
    if refused:
        assert refused.startswith(("features", "a feature"))
        return
    expected = {name: None if math.isnan(value) else value for name, value in features.items()}
    assert EventDecoder().event(raw).features == expected


def test_names_that_are_no_text_are_written_as_text() -> None:
    _, raw = EventEncoder(500).encode(
        {"project_id": "p", "model_id": "m", "features": {0: 1.0, np.int64(1): 2}}
    )
    assert EventDecoder().event(raw).features == {"0": 1.0, "1": 2.0}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2025-01-02T00:00:00+02:00"),
        ("2025-01-02T00:00:00Z", "2025-01-02T00:00:00Z"),
        (1735689600, 1735689600),
        (np.float64(1735689600.5), 1735689600.5),
    ],
)
def test_a_timestamp_may_be(value: object, written: object) -> None:
    assert plain_timestamp(value) == written


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datetime(2025, 1, 2), "naive_timestamp"),  # noqa: DTZ001 - that is the point
        (np.datetime64("2025-01-02"), "naive_timestamp"),
        ("2025-01-02T00:00:00", "naive_timestamp"),
        (date(2025, 1, 2), "invalid_timestamp"),
        (math.nan, "invalid_timestamp"),
        (True, "invalid_timestamp"),
        (object(), "invalid_event"),
    ],
)
def test_a_timestamp_may_not_be(value: object, reason: str) -> None:
    with pytest.raises(EventError) as caught:
        plain_timestamp(value)
    assert caught.value.reason == reason


def test_a_misspelt_field_is_refused_not_dropped() -> None:
    with pytest.raises(EventError, match="'feature' is no field of an event: put it into features"):
        EventEncoder(500).encode({"project_id": "p", "model_id": "m", "feature": {"a": 1}})
