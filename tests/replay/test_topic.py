"""Is the synthetic topic the same for the same seed, whatever else changes?"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_guard.decoding import EventDecoder
from ml_guard.errors import REASONS, EventError
from ml_guard.event import EventBatch
from ml_guard.replay.catalogue import PROJECTS
from ml_guard.replay.events import day_events, first_instant
from ml_guard.replay.record import Record
from ml_guard.replay.records import PHASES, make_records
from ml_guard.replay.topic import FIRST_DAY, FIRST_SCORED, Topic, make_topic

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
SMALL = 3_000
WORKERS_OWN = {
    "unknown_project",
    "future_timestamp",
    "naive_timestamp",
    "invalid_timestamp",
    "record_too_large",
}
"""What no decoder can see: it takes the clock, the projects, the settings, or a second look at the timestamp."""


def topic(seed: int = 1, now: datetime = NOW, **changes: object) -> Topic:
    return make_topic(seed, now=now, events=SMALL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", PHASES)
def test_the_same_seed_gives_the_same_bytes_in_the_same_order(phase: str) -> None:
    assert make_records(topic(), phase) == make_records(topic(), phase)  # type: ignore[arg-type]
    assert make_records(topic(), phase) != make_records(topic(seed=2), phase)  # type: ignore[arg-type]


def test_a_day_made_alone_is_the_day_as_it_is_among_others() -> None:
    whole = topic()
    project = whole.projects[1]
    day = whole.baseline_days(project)[3]
    alone = {event.value for event in day_events(whole, project, project.endpoints[0], day)}
    among = {record.value for record in make_records(whole, "baseline")}
    single = {value for value in alone if value in among}
    assert len(single) > 0.97 * len(alone)  # the rest is late, and travels in a batch


def test_a_suffix_changes_the_names_of_projects_and_nothing_else() -> None:
    plain, named = topic(), topic(suffix="x9")
    for one, other in zip(make_records(plain, "baseline"), make_records(named, "baseline"), strict=True):
        for project in PROJECTS:
            one = Record(one.value.replace(project.slug.encode(), b"*"), one.at_us, one.slot, one.events)
            renamed = other.value.replace(f"{project.slug}-x9".encode(), b"*")
            other = Record(renamed, other.at_us, other.slot, other.events)
        assert one.value == other.value


def test_nothing_is_sent_that_has_not_happened() -> None:
    sent = [event for record in make_records(topic(), "scored") for event in good_events(record)]
    assert max(sent) <= NOW.timestamp()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 48 * 60), st.integers(0, 48 * 60))
def test_a_batch_that_was_sent_is_the_same_whenever_it_is_sent_again(first: int, second: int) -> None:
    """What the demo rests on: the batch's id stands for its contents, however far the open day has come."""
    origin = {project.slug: date(2026, 3, 10) for project in PROJECTS}
    contents: dict[tuple[str, str, int], bytes] = {}
    for minutes in (first, second):
        made = topic(now=NOW + timedelta(minutes=minutes), origin=origin, batched=True)
        for record in make_records(made, "scored"):
            head = json.loads(record.value)
            key = (head["project_id"], head["batch_id"], head["part"])
            assert contents.setdefault(key, record.value) == record.value


def test_batches_of_a_topic_have_names_of_their_own() -> None:
    made = topic(batched=True)
    names = [
        (head["project_id"], head["batch_id"], head["part"])
        for phase in PHASES
        for head in (json.loads(record.value) for record in make_records(made, phase))
    ]
    assert len(names) == len(set(names))


def test_every_event_lies_in_the_day_it_was_made_for() -> None:
    made = make_topic(1, now=NOW, events=SMALL, calendar_days=True)
    for project, endpoint in made.endpoints():
        for day in (*made.clock_days(project), *made.baseline_days(project)):
            for event in day_events(made, project, endpoint, day):
                at = datetime.fromtimestamp(event.at_us / 1e6, UTC)
                assert at.astimezone(ZoneInfo(project.zone)).date() == day


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Toronto", date(2025, 3, 9), 23.0),
        ("America/Toronto", date(2025, 11, 2), 25.0),
        ("Australia/Lord_Howe", date(2025, 4, 6), 24.5),
        ("Australia/Lord_Howe", date(2025, 10, 5), 23.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23.0),  # begins at one o'clock
    ],
)
def test_days_are_as_long_as_their_clocks_say(zone: str, day: date, hours: float) -> None:
    start = first_instant(day, ZoneInfo(zone))
    end = first_instant(day + timedelta(days=1), ZoneInfo(zone))
    assert (end - start).total_seconds() / 3600 == hours


def test_the_contract_accepts_what_is_good_and_refuses_what_is_planted_for_its_reason() -> None:
    decoder, reasons, good = EventDecoder(), set[str](), 0
    for phase in PHASES:
        for record in make_records(topic(), phase):
            dead = dict(record.dead)
            refused: dict[int, str] = {}
            try:
                decoded = decoder.record(record.value)
            except EventError as error:
                refused = {0: error.reason}
            else:
                events = decoder.events(decoded) if isinstance(decoded, EventBatch) else [decoded]
                assert len(events) == record.events
                refused = {i: event.reason for i, event in enumerate(events) if isinstance(event, EventError)}
            left = {place: reason for place, reason in dead.items() if place not in refused}
            assert refused.items() <= dead.items()
            assert set(left.values()) <= WORKERS_OWN
            good += record.events - len(dead)
            reasons.update(dead.values())
    assert good > SMALL
    assert reasons == set(REASONS) - {
        "beyond_retention",
        "cap_exceeded",
        "label_key_missing",
        "internal_error",
    }


def test_the_baseline_days_are_clean_and_the_plants_return() -> None:
    made = topic()
    churn = PROJECTS[0].endpoints[0]
    origin = made.origin[PROJECTS[0].slug]
    for offset in range(FIRST_DAY, FIRST_SCORED):
        assert made.plants(PROJECTS[0], churn, origin + timedelta(days=offset)) == ()
    planted = [
        [plant.feature for plant in made.plants(PROJECTS[0], churn, origin + timedelta(days=offset))]
        for offset in range(FIRST_SCORED, 4)
    ]
    assert planted == [[], ["balance", "country"], ["age"]] * 2


def good_events(record: Record) -> list[float]:
    """The instants of a record's good events, in seconds."""
    from ml_guard.replay.oracle import instant

    if len(record.dead) == record.events:
        return []
    body = json.loads(record.value)
    bad = dict(record.dead)
    events = body.get("events", [body])
    return [instant(event["timestamp"]).timestamp() for i, event in enumerate(events) if i not in bad]
