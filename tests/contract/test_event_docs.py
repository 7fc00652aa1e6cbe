"""Is docs/event.md true? Its examples are decoded, its tables compared with the types."""

import re
from pathlib import Path

import msgspec
import pytest

from ml_guard.decoding import EventDecoder
from ml_guard.errors import REASONS, EventError
from ml_guard.event import Event, EventBatch
from ml_guard.timestamps import parse_us

DOC = (Path(__file__).parents[2] / "docs" / "event.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)
REFUSED = re.findall(r"^\| `(\w+)` \| `(\{.*)` \|$", DOC, re.MULTILINE)
INSTANTS = [e for e in EXAMPLES if '"timestamp": 17' in e]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_accepted(example: str) -> None:
    decoder = EventDecoder()
    record = decoder.record(example.encode())
    events = decoder.events(record) if isinstance(record, EventBatch) else [record]
    assert all(isinstance(event, Event) for event in events)
    for event in events:
        if isinstance(event, Event) and event.timestamp is not None:
            parse_us(event.timestamp)


def test_the_two_numbers_are_the_same_instant() -> None:
    first, second = (EventDecoder().event(example.encode()).timestamp for example in INSTANTS)
    assert first is not None
    assert second is not None
    assert parse_us(first) == parse_us(second)


@pytest.mark.parametrize(("reason", "example"), REFUSED)
def test_each_refused_example_is_refused_for_that_reason(reason: str, example: str) -> None:
    with pytest.raises(EventError) as caught:
        parse_us(EventDecoder().event(example.encode()).timestamp or 0)
    assert caught.value.reason == reason


def test_every_field_and_every_reason_is_documented() -> None:
    table = re.findall(r"^\| `(\w+)` \| (?!`\{)", DOC, re.MULTILINE)
    assert sorted(table) == sorted(field.name for field in msgspec.structs.fields(Event))
    assert all(f"`{reason}`" in DOC for reason in REASONS)
    assert len(REFUSED) == 9
