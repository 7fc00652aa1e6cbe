"""Is this record a good event or batch, and if not, what exactly is wrong with it?

The fast way is one msgspec call and a look at names seen before. What it refuses is read again slowly, field
by field, by `check_event`: that gives the reason and the field's name, and it takes JSON with `NaN`, `Infinity`
or `1e999` in it, as Python's json.dumps writes them, for the non-finite numbers that were meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ml_guard.errors import EventError, Reason
from ml_guard.event import MAX_FEATURES, MAX_NAME, MAX_NAME_BYTES, MAX_PART, VERSION, Event, EventBatch

_KNOWN_NAMES = 20_000
"""Names remembered as good: far more than a worker meets, and some 10 MB at the very worst."""

_BATCH_HEAD = b'{"batch_id"'
"""How `encode_batch` begins; batches written otherwise are found out by trying."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_event = msgspec.json.Decoder(Event).decode
_decode_batch = msgspec.json.Decoder(EventBatch).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class EventDecoder:
    """Decodes and checks records; remembers good names. One a worker, one a bridge."""

    def __init__(self, max_features: int = MAX_FEATURES) -> None:
        self.max_features = max_features
        self._names: set[str] = set()
        self._features: set[str] = set()

    def event(self, raw: bytes | msgspec.Raw, project_id: str | None = None) -> Event:
        """The event in one JSON object; with `project_id`, it must belong to that project. Raises `EventError`."""
        try:
            event = _decode_event(raw)
        except _UNREADABLE:
            event = check_event(_parse(raw), self.max_features)
        self._check_names(event)
        if project_id is not None and event.project_id != project_id:
            raise EventError("invalid_event", "project_id is not the one of its batch", "project_id")
        return event

    def record(self, raw: bytes) -> Event | EventBatch:
        """The event or the batch in one Kafka record. Raises `EventError`.

        What is no good event and has an array `events` is a batch; its events are still to be decoded, by `events`.
        """
        if not raw.startswith(_BATCH_HEAD):
            try:
                event = _decode_event(raw)
            except _UNREADABLE:
                if b'"events"' not in raw:
                    return self.event(raw)
            else:
                self._check_names(event)
                return event
        try:
            batch = _decode_batch(raw)
        except _UNREADABLE:
            value = _parse(raw)
            if not (isinstance(value, dict) and isinstance(value.get("events"), list)):
                return self.event(raw)
            batch = check_batch(value)
        for field, text in (("batch_id", batch.batch_id), ("project_id", batch.project_id)):
            if text is not None:
                _check_name(text, field)
        if batch.batch_id is not None and batch.project_id is None:
            raise _bad("a batch with a batch_id must name its project_id", "project_id")
        return batch

    def events(self, batch: EventBatch) -> list[Event | EventError]:
        """What each event of a batch decodes to, or why not, in the batch's order."""
        return [self.verdict(raw, batch.project_id) for raw in batch.events]

    def verdict(self, raw: bytes | msgspec.Raw, project_id: str | None = None) -> Event | EventError:
        """`event`, with the error as a value."""
        try:
            return self.event(raw, project_id)
        except EventError as error:
            return error

    def _check_names(self, event: Event) -> None:
        features = event.features
        if len(features) > self.max_features or not self._features.issuperset(features):
            _check_feature_names(features, self.max_features)
            if len(self._features) > _KNOWN_NAMES:
                self._features.clear()
            self._features.update(features)
        if event.event_id is not None and not event.event_id.isprintable():
            _check_controls(event.event_id, "event_id")
        names = self._names
        if event.project_id not in names or event.model_id not in names or event.endpoint not in names:
            for field in ("project_id", "model_id", "endpoint"):
                _check_name(getattr(event, field), field)
            if len(names) > _KNOWN_NAMES:
                names.clear()
            names.update((event.project_id, event.model_id, event.endpoint))


def split_events(body: bytes, *, ndjson: bool = False) -> list[bytes]:
    """The raw events in a request's body: one object, an array, or one object a line (`ndjson`).

    Raises `EventError` with `invalid_json` if the body has no such parts.

    >>> split_events(b'[{"a": 1}, {"b": 2}]')
    [b'{"a": 1}', b'{"b": 2}']
    """
    if ndjson:
        return [line for line in (line.strip() for line in body.split(b"\n")) if line]
    body = body.strip()
    if not body.startswith(b"["):
        return [body]
    try:
        return [bytes(raw) for raw in _decode_array(body)]
    except _UNREADABLE:
        value = _parse(body)
        return [json.dumps(item).encode() for item in value]


def check_event(value: object, max_features: int = MAX_FEATURES) -> Event:
    """The event in a decoded JSON value, checked field by field. Raises `EventError` with the first bad field."""
    if not isinstance(value, dict):
        raise _bad("an event is a JSON object", None)
    _check_version(value)
    features = value.get("features")
    if features is None:
        features = {}
    elif not isinstance(features, dict):
        raise _bad("features must be an object of names and values", "features")
    _check_feature_names(features, max_features)
    return Event(
        project_id=_name(value, "project_id"),
        model_id=_name(value, "model_id"),
        endpoint=_name(value, "endpoint", "predict"),
        event_id=_event_id(value.get("event_id")),
        timestamp=_timestamp(value.get("timestamp")),
        latency_ms=_number(value, "latency_ms", math.inf),
        y_pred=_scalar(value.get("y_pred"), "y_pred"),
        y_proba=_number(value, "y_proba", 1.0),
        features={name: _scalar(item, f"features.{_shown(name)}") for name, item in features.items()},
    )


def check_batch(value: object) -> EventBatch:
    """The batch in a decoded JSON value. Raises `EventError` with the first bad field of the batch itself."""
    if not isinstance(value, dict):
        raise _bad("a record is a JSON object: an event, or a batch of events", None)
    _check_version(value)
    events = value.get("events")
    if not isinstance(events, list):
        raise _bad("events must be an array of events", "events")
    part = value.get("part")
    if part is not None and (type(part) is not float or not (0 <= part <= MAX_PART and part.is_integer())):
        raise _bad(f"part must be a whole number from 0 to {MAX_PART}", "part")
    return EventBatch(
        events=[msgspec.Raw(json.dumps(event).encode()) for event in events],
        batch_id=_name(value, "batch_id") if value.get("batch_id") is not None else None,
        part=int(part or 0),
        project_id=_name(value, "project_id") if value.get("project_id") is not None else None,
    )


def _parse(raw: bytes | msgspec.Raw) -> Any:
    """JSON as Python reads it, every number a float, with the tokens that JSON itself does not have."""
    try:
        text = bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise EventError("invalid_json", f"not UTF-8 text, at byte {error.start}") from None
    try:
        value = json.loads(text, parse_int=float)
        json.dumps(value, ensure_ascii=False).encode(
            "utf-8"
        )  # refuses lone surrogates, which no UTF-8 can hold
    except json.JSONDecodeError as error:
        raise EventError("invalid_json", f"not JSON, at character {error.pos}") from None
    except UnicodeEncodeError:
        raise EventError("invalid_json", "text with half a surrogate pair") from None
    except RecursionError:
        raise EventError("invalid_json", "nested too deeply") from None
    return value


def _check_version(value: Mapping[str, Any]) -> None:
    version = value.get("v")
    if version is not None and (isinstance(version, bool) or version != VERSION):
        raise _bad(f"v names an unknown version of the event contract; this release reads {VERSION}", "v")


def _name(value: Mapping[str, Any], field: str, default: str | None = None) -> str:
    text = value.get(field)
    if text is None:
        text = default
    if text is None:
        raise _bad(f"{field} is missing", field)
    if not isinstance(text, str):
        raise _bad(f"{field} must be text", field)
    _check_name(text, field)
    return text


def _check_name(text: str, field: str) -> None:
    if not text:
        raise _bad(f"{field} is empty", field)
    if len(text) > MAX_NAME:
        raise _bad(f"{field} is longer than {MAX_NAME} characters", field)
    if not text.isascii() and len(text.encode()) > MAX_NAME_BYTES:
        raise _bad(f"{field} is longer than {MAX_NAME_BYTES} bytes of UTF-8", field)
    if not text.isprintable():
        _check_controls(text, field)


def _check_controls(text: str, field: str) -> None:
    if any(character < " " or "\x7f" <= character < "\xa0" for character in text):
        raise _bad(f"{field} holds a control character", field)


def _check_feature_names(features: Mapping[str, object], max_features: int) -> None:
    if len(features) > max_features:
        raise EventError("too_many_features", f"more than {max_features} features", "features")
    for name in features:
        if name.startswith("@"):
            raise _bad(f"a feature's name may not begin with @: {_shown(name)}", f"features.{_shown(name)}")
        _check_name(name, f"features.{_shown(name)}" if name else "a feature's name")


def _event_id(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_NAME:
        _check_controls(value, "event_id")
        return value
    raise _bad(f"event_id must be text of at most {MAX_NAME} characters", "event_id")


def _timestamp(value: object) -> float | str | None:
    if value is None or isinstance(value, (str, float)):
        return value
    raise EventError("invalid_timestamp", "timestamp must be RFC 3339 text or a number", "timestamp")


def _number(value: Mapping[str, Any], field: str, most: float) -> float | None:
    number = value.get(field)
    if number is None:
        return None
    if type(number) is not float:
        raise _bad(f"{field} must be a number", field)
    if math.isfinite(number) and 0 <= number <= most:
        return number
    raise _bad(f"{field} must be a finite number from 0" + (" to 1" if most == 1 else ""), field)


def _scalar(value: object, field: str) -> bool | float | str | None:
    if value is None or isinstance(value, (bool, float, str)):
        return value
    raise _bad(f"{field} must be a number, text or a boolean", field)


def _shown(name: str) -> str:
    """A feature's name as a sentence can hold it: short and without control characters."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= 64 else f"{text[:63]}…"


def _bad(detail: str, field: str | None, reason: Reason = "invalid_event") -> EventError:
    return EventError(reason, detail, field)
