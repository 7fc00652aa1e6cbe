"""How does a call of the host program become the bytes of a checked event?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from ml_guard.decoding import EventDecoder
from ml_guard.errors import EventError
from ml_guard.values import plain, plain_features, plain_timestamp

FIELDS = frozenset(
    (
        "project_id",
        "model_id",
        "endpoint",
        "event_id",
        "timestamp",
        "latency_ms",
        "y_pred",
        "y_proba",
        "features",
    )
)

_encode = msgspec.json.Encoder().encode


class EventEncoder:
    """Encodes calls as the contract has them, and refuses what a worker would refuse, with the same words."""

    def __init__(self, max_features: int, defaults: Mapping[str, str] | None = None) -> None:
        self._decoder = EventDecoder(max_features)
        self.defaults = dict(defaults or {})

    def encode(self, row: Mapping[str, Any]) -> tuple[str, bytes]:
        """The project and the bytes of one event; the time of the call is its timestamp, unless it has one.

        Raises `EventError`.
        """
        event: dict[str, Any] = {"timestamp": round(time.time(), 6), **self.defaults}
        for field, value in row.items():
            if value is None:
                continue
            if field == "features":
                if not isinstance(value, Mapping):
                    raise EventError("invalid_event", "features must be a mapping of names to values", field)
                event[field] = plain_features(value)
            elif field == "timestamp":
                event[field] = plain_timestamp(value)
            elif field == "event_id":
                event[field] = value if type(value) is str else str(value)
            elif field in FIELDS:
                event[field] = plain(value, field)
            else:
                raise EventError(
                    "invalid_event", f"{field!r} is no field of an event: put it into features", field
                )
        try:
            raw = _encode(event)
        except UnicodeEncodeError:
            raise EventError("invalid_event", "a text holds half a surrogate pair", None) from None
        return self.checked(raw), raw

    def checked(self, raw: bytes) -> str:
        """The project of an encoded event that a worker would take. Raises `EventError`."""
        return self._decoder.event(raw).project_id
