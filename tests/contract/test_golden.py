"""Do the events that were ever written still decode to what they meant?

The files in `events/` are never edited: a new form of the contract gets a new file beside them.
"""

import math
from pathlib import Path

import pytest

from ml_guard.decoding import EventDecoder
from ml_guard.errors import EventError
from ml_guard.event import Event, EventBatch

EVENTS = Path(__file__).parent / "events"


def golden(name: str) -> bytes:
    return (EVENTS / f"{name}.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "event_v1_full",
            Event(
                project_id="proj_123",
                model_id="churn_model_v1",
                endpoint="predict",
                event_id="0191e1a0-0000-7000-8000-000000000001",
                timestamp="2025-01-01T00:00:00Z",
                latency_ms=42.0,
                y_pred=1.0,
                y_proba=0.81,
                features={"age": 29.0, "balance": 1200.5, "country": "CA", "active": True, "referrer": None},
            ),
        ),
        ("event_v1_minimal", Event(project_id="proj_123", model_id="churn_model_v1")),
        (
            "event_v1_regressor",
            Event(
                project_id="p",
                model_id="price",
                endpoint="batch",
                timestamp=1735689600.25,
                y_pred=-12500.0,
                features={"größe": 7.0, "text like a number": "007"},
            ),
        ),
        (
            "event_v1_text_label",
            Event(project_id="p", model_id="m", timestamp=1735689600250.0, y_pred="cat 😀"),
        ),
    ],
)
def test_a_golden_event_decodes_to_what_it_meant(name: str, expected: Event) -> None:
    event = EventDecoder().record(golden(name))
    assert event == expected
    assert all(type(v) in (bool, float, str, type(None)) for v in event.features.values())


def test_python_non_finite_numbers_are_kept_as_such() -> None:
    event = EventDecoder().record(golden("event_v1_python_nan"))
    assert isinstance(event, Event)
    assert event.y_pred is True
    assert math.isnan(event.features["a"])
    assert {k: event.features[k] for k in "bcd"} == {"b": math.inf, "c": -math.inf, "d": math.inf}


def test_a_bad_event_of_a_batch_spares_the_rest() -> None:
    decoder = EventDecoder()
    batch = decoder.record(golden("batch_v1"))
    assert isinstance(batch, EventBatch)
    assert (batch.batch_id, batch.part, batch.project_id) == ("b-1", 2, "p")
    good, *bad = decoder.events(batch)
    assert good == Event(project_id="p", model_id="m", features={"a": 1.0})
    assert all(isinstance(error, EventError) and error.reason == "invalid_event" for error in bad)
    assert [error.detail for error in bad] == [
        "model_id is missing",
        "project_id is not the one of its batch",
        "an event is a JSON object",
    ]


def test_a_batch_is_known_in_any_order_of_its_fields() -> None:
    decoder = EventDecoder()
    batch = decoder.record(golden("batch_v1_other_order"))
    assert isinstance(batch, EventBatch)
    assert (batch.batch_id, batch.part) == (None, 0)
    assert decoder.events(batch) == [Event(project_id="p", model_id="m")]
