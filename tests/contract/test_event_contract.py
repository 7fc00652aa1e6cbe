"""Does the decoder accept exactly what docs/event.md promises, and say why of the rest?"""

import json
import math

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ml_guard.decoding import EventDecoder, check_event, split_events
from ml_guard.errors import REASONS, EventError
from ml_guard.event import Event, EventBatch, encode_batch, short_label

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=128).filter(
    lambda name: not name.startswith("@")
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
EVENTS = st.builds(
    Event,
    project_id=NAMES,
    model_id=NAMES,
    endpoint=NAMES,
    event_id=st.none() | st.uuids().map(str),
    timestamp=st.none() | st.floats(0, 4e9) | TEXTS,
    latency_ms=st.none() | st.floats(0, 1e9),
    y_pred=SCALARS,
    y_proba=st.none() | st.floats(0, 1),
    features=st.dictionaries(NAMES, SCALARS, max_size=8),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = (
    "project_id",
    "model_id",
    "endpoint",
    "event_id",
    "timestamp",
    "latency_ms",
    "y_pred",
    "y_proba",
    "v",
)
ALMOST_EVENTS = st.fixed_dictionaries(
    {"project_id": JSON | st.just("p"), "model_id": JSON | st.just("m")},
    optional={
        **dict.fromkeys(FIELDS[2:], JSON),
        "features": JSON | st.dictionaries(st.text(), JSON, max_size=4),
        "events": JSON,
    },
)


def error_of(raw: bytes | str, max_features: int = 500) -> EventError:
    with pytest.raises(EventError) as caught:
        EventDecoder(max_features).record(raw.encode() if isinstance(raw, str) else raw)
    return caught.value


def event_text(**fields: object) -> str:
    return json.dumps({"project_id": "p", "model_id": "m", **fields})


@given(EVENTS)
def test_an_event_survives_the_way_through_json(event: Event) -> None:
    assert EventDecoder().record(msgspec.json.encode(event)) == event


@given(EVENTS)
def test_the_slow_way_reads_what_the_fast_way_reads(event: Event) -> None:
    raw = msgspec.json.encode(event)
    assert check_event(json.loads(raw, parse_int=float)) == EventDecoder().event(raw)


@given(ALMOST_EVENTS)
@example({"project_id": "p", "model_id": "m", "event_id": "\x1f"})
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_the_fast_way_accepts_nothing_that_the_slow_way_refuses(value: dict[str, object]) -> None:
    raw = json.dumps(value, allow_nan=True).encode()
    try:
        slow: Event | str = check_event(json.loads(raw, parse_int=float))
    except EventError as error:
        slow = error.reason
    fast = EventDecoder().verdict(raw)
    if isinstance(fast, EventError):
        assert fast.reason == slow or fast.reason == "invalid_json"  # half a surrogate pair
    else:
        assert repr(fast) == repr(slow)  # repr, since NaN differs from itself


@given(st.binary(max_size=400) | ALMOST_EVENTS.map(lambda value: json.dumps(value).encode()))
@example(b'{"events":[[' + b"[" * 50_000)
@example(b'{"project_id":"p","model_id":"m","features":' + b'{"a":' * 50_000)
@example(b'{"project_id":"p","model_id":"m","latency_ms":' + b"9" * 6_000 + b"}")
@example(b'{"events":[],"part":1e400}')
@example(b'{"events":[NaN],"part":1e400}')
@example(b'\xef\xbb\xbf{"project_id":"p","model_id":"m"}')
def test_no_bytes_raise_anything_but_our_error(raw: bytes) -> None:
    decoder = EventDecoder()
    try:
        record: Event | EventBatch | EventError = decoder.record(raw)
    except EventError as error:
        record = error
    if isinstance(record, EventError):
        assert record.reason in REASONS
        assert record.detail
    if isinstance(record, EventBatch):
        assert len(decoder.events(record)) == len(record.events)


@given(st.binary(max_size=200), st.booleans())
@example(b"[NaN, {}]", False)
@example(b"[1,", False)
@example(b'["\xff"]', False)
def test_no_body_raises_anything_but_our_error(body: bytes, ndjson: bool) -> None:
    try:
        outcome: list[bytes] | str = split_events(body, ndjson=ndjson)
    except EventError as error:
        outcome = error.reason
    assert outcome == "invalid_json" or all(isinstance(part, bytes) for part in outcome)


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        ("", "invalid_json", "not JSON, at character 0"),
        ('{"project_id":', "invalid_json", "not JSON, at character 14"),
        (b'{"project_id":"\xff"}', "invalid_json", "not UTF-8 text, at byte 15"),
        (r'{"project_id":"\ud800"}', "invalid_json", "text with half a surrogate pair"),
        ("[]", "invalid_event", "an event is a JSON object"),
        ("{}", "invalid_event", "project_id is missing"),
        (event_text(project_id=""), "invalid_event", "project_id is empty"),
        (event_text(project_id=7), "invalid_event", "project_id must be text"),
        (event_text(model_id=None), "invalid_event", "model_id is missing"),
        (event_text(model_id="m" * 257), "invalid_event", "model_id is longer than 256 characters"),
        (event_text(model_id="界" * 171), "invalid_event", "model_id is longer than 512 bytes of UTF-8"),
        (event_text(endpoint="a\nb"), "invalid_event", "endpoint holds a control character"),
        (event_text(endpoint="a\x85b"), "invalid_event", "endpoint holds a control character"),
        (event_text(event_id=7), "invalid_event", "event_id must be text of at most 256 characters"),
        (event_text(event_id="\0"), "invalid_event", "event_id holds a control character"),
        (event_text(timestamp=True), "invalid_timestamp", "timestamp must be RFC 3339 text or a number"),
        (event_text(latency_ms=-1), "invalid_event", "latency_ms must be a finite number from 0"),
        (event_text(latency_ms=math.inf), "invalid_event", "latency_ms must be a finite number from 0"),
        (event_text(latency_ms="42"), "invalid_event", "latency_ms must be a number"),
        (event_text(latency_ms=True), "invalid_event", "latency_ms must be a number"),
        (event_text(y_proba=1.01), "invalid_event", "y_proba must be a finite number from 0 to 1"),
        (event_text(y_proba=math.nan), "invalid_event", "y_proba must be a finite number from 0 to 1"),
        (event_text(y_pred=[1]), "invalid_event", "y_pred must be a number, text or a boolean"),
        (event_text(features=[]), "invalid_event", "features must be an object of names and values"),
        (event_text(features={"": 1}), "invalid_event", "a feature's name is empty"),
        (event_text(features={"@x": 1}), "invalid_event", "a feature's name may not begin with @: @x"),
        (event_text(features={"a": {}}), "invalid_event", "features.a must be a number, text or a boolean"),
        (
            event_text(features={"a\n": 1}),
            "invalid_event",
            r"features.a\n holds a control character",
        ),
        (
            event_text(features={"f" * 257: 1}),
            "invalid_event",
            f"features.{'f' * 63}… is longer than 256 characters",
        ),
        (
            event_text(v=2),
            "invalid_event",
            "v names an unknown version of the event contract; this release reads 1",
        ),
        ('{"events":{}}', "invalid_event", "project_id is missing"),
        (
            '{"batch_id":"b","events":[]}',
            "invalid_event",
            "a batch with a batch_id must name its project_id",
        ),
        ('{"batch_id":"","project_id":"p","events":[]}', "invalid_event", "batch_id is empty"),
        (
            '{"part":0.5,"events":[]}',
            "invalid_event",
            "part must be a whole number from 0 to 1000000",
        ),
        (
            '{"v":9,"events":[]}',
            "invalid_event",
            "v names an unknown version of the event contract; this release reads 1",
        ),
    ],
)
def test_an_error_names_its_reason_and_its_field(raw: bytes | str, reason: str, detail: str) -> None:
    error = error_of(raw)
    assert (error.reason, error.detail) == (reason, detail)


@given(st.text(min_size=3).filter(lambda t: t not in "project_idmodel_idmust be text"))
def test_an_error_never_shows_a_value(secret: str) -> None:
    raw = json.dumps({"project_id": "p", "model_id": "m", "y_proba": secret, "latency_ms": [secret]})
    detail = EventDecoder().verdict(raw.encode()).detail  # type: ignore[union-attr]
    assert detail == "latency_ms must be a number"


def test_names_that_were_good_once_do_not_make_bad_ones_good() -> None:
    decoder = EventDecoder(max_features=2)
    assert isinstance(decoder.verdict(event_text(features={"a": 1, "b": 2}).encode()), Event)
    assert isinstance(decoder.verdict(event_text(features={"a": 1, "@b": 2}).encode()), EventError)
    too_many = decoder.verdict(event_text(features={"a": 1, "b": 2, "c": 3}).encode())
    assert isinstance(too_many, EventError)
    assert too_many.reason == "too_many_features"


def test_the_memory_for_names_is_bounded() -> None:
    decoder = EventDecoder()
    for i in range(45_000):
        decoder.event(b'{"project_id":"p%d","model_id":"m","features":{"f%d":1}}' % (i, i))
    assert len(decoder._names) < 25_000
    assert len(decoder._features) < 25_000


def test_whole_numbers_of_any_size_are_floats() -> None:
    raw = event_text(features={"a": 1, "b": 2**63, "c": 10**30, "d": -(10**400)})
    event = EventDecoder().record(raw.encode())
    assert isinstance(event, Event)
    assert event.features == {"a": 1.0, "b": 2.0**63, "c": 1e30, "d": -math.inf}


def test_a_feature_named_events_is_a_feature() -> None:
    event = EventDecoder().record(event_text(features={"events": 3}).encode())
    assert isinstance(event, Event)
    assert event.features == {"events": 3.0}


@given(st.lists(EVENTS, max_size=5), st.none() | NAMES, st.integers(0, 1000))
def test_a_batch_survives_the_way_through_json(events: list[Event], batch_id: str | None, part: int) -> None:
    for event in events:
        event.project_id = "p"
    decoder = EventDecoder()
    raw = encode_batch([msgspec.json.encode(e) for e in events], project_id="p", batch_id=batch_id, part=part)
    batch = decoder.record(raw)
    assert isinstance(batch, EventBatch)
    assert (batch.batch_id, batch.part, batch.project_id) == (batch_id, part, "p")
    assert decoder.events(batch) == events


def test_non_finite_tokens_in_one_event_of_a_batch_spare_the_others() -> None:
    decoder = EventDecoder()
    parts = [b'{"project_id":"p","model_id":"m","features":{"a":%s}}' % x for x in (b"1", b"NaN", b"-1e999")]
    batch = decoder.record(encode_batch(parts, project_id="p", batch_id="b"))
    assert isinstance(batch, EventBatch)
    one, nan, low = (e.features["a"] for e in decoder.events(batch) if isinstance(e, Event))
    assert (one, low) == (1.0, -math.inf)
    assert math.isnan(nan)  # type: ignore[arg-type]


def test_bodies_are_split_without_touching_the_events() -> None:
    one, two = b'{"a": 1.0}', b'{"b":  "x"}'
    assert split_events(one) == [one]
    assert split_events(b" [" + one + b",\n" + two + b"] ") == [one, two]
    assert split_events(one + b"\r\n\n" + two + b"\n", ndjson=True) == [one, two]
    assert split_events(b"[]") == []


@given(TEXTS | st.text(st.characters(exclude_categories=("Cs",)), min_size=250, max_size=600))
def test_a_shortened_label_is_stable_and_short(label: str) -> None:
    short = short_label(label)
    assert len(short) <= 256
    assert "\0" not in short
    assert short_label(short) == short
    if len(label) <= 256 and "\0" not in label:
        assert short == label


def test_long_labels_that_begin_alike_stay_apart() -> None:
    labels = {short_label("x" * 300 + str(i)) for i in range(1000)} | {
        short_label("a\0"),
        short_label("a\0b"),
    }
    assert len(labels) == 1002
