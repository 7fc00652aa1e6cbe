"""What is an event, and what is a record that holds many? The contract of docs/event.md as types.

These types check when they are decoded (`ml_guard.decoding`), not when they are built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

VERSION = 1
MAX_NAME = 256
"""Characters of a project's, model's, endpoint's or feature's name, of an event id, a batch id or a label."""
MAX_NAME_BYTES = 512
"""Bytes of UTF-8 of such a name: four of them and the rest of a key must fit PostgreSQL's 2,704 bytes an index row."""
MAX_FEATURES = 500
"""Features that one event may carry, unless the server is set otherwise."""
MAX_PART = 1_000_000
"""The highest number that a part of a split batch may have."""

_HASH_DIGITS = 16
_PREFIX = MAX_NAME - 1 - _HASH_DIGITS

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    """One call of a model. Null equals absent; fields that the contract does not know are ignored."""

    project_id: Name
    model_id: Name
    endpoint: Name = "predict"
    event_id: Annotated[str, Meta(max_length=MAX_NAME)] | None = None
    timestamp: (
        Annotated[
            float | str,
            Meta(
                description="RFC 3339 with an offset, or seconds or milliseconds since 1970; absent: its arrival"
            ),
        ]
        | None
    ) = None
    latency_ms: Annotated[float, Meta(ge=0)] | None = None
    y_pred: bool | float | str | None = None
    y_proba: Annotated[float, Meta(ge=0, le=1)] | None = None
    features: dict[str, bool | float | str | None] = {}
    v: Literal[1] = 1


class EventBatch(msgspec.Struct, gc=False):
    """A record that holds many events of one project; a retry repeats `batch_id` and `part` with the same events.

    Without a `batch_id` nothing is deduplicated. Events stay raw until each is decoded on its own, so that a
    bad one spares the rest.
    """

    events: list[msgspec.Raw]
    batch_id: Name | None = None
    part: Annotated[int, Meta(ge=0, le=MAX_PART)] = 0
    project_id: Name | None = None
    v: Literal[1] = 1


def encode_batch(
    events: Sequence[bytes], *, project_id: str, batch_id: str | None = None, part: int = 0
) -> bytes:
    """The record that holds these encoded events, each one JSON object.

    >>> encode_batch([b'{"model_id":"m"}'], project_id="p", batch_id="b")
    b'{"batch_id":"b","part":0,"project_id":"p","v":1,"events":[{"model_id":"m"}]}'
    """
    head = b'{"batch_id":%b,"part":%d,"project_id":%b,"v":%d,"events":[' % (
        msgspec.json.encode(batch_id),
        part,
        msgspec.json.encode(project_id),
        VERSION,
    )
    return head + b",".join(events) + b"]}"


def short_label(label: str) -> str:
    """A text value as it is counted: itself, or a stable unique form of `MAX_NAME` characters if it is longer.

    The form is the label's beginning, `~` and 16 hexadecimal digits of the SHA-256 of its UTF-8. A label with
    a null character gets it too, since databases store none.

    >>> short_label("CA")
    'CA'
    >>> len(short_label("x" * 257)), short_label("x" * 257)[-18:]
    (256, 'x~15eb95a462ee20bd')
    """
    if len(label) <= MAX_NAME and "\0" not in label:
        return label
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{label[:_PREFIX]}~{digest}".replace("\0", "\N{REPLACEMENT CHARACTER}")
