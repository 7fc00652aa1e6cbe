"""What is a request to the API, before it is sent? Its parts, and how days, instants and names are written in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from ml_guard.errors import ConfigError

T = TypeVar("T")

PREFIX = "/api/v1"
PAGE = 1000
"""Rows asked for at once: the most that the API gives."""


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One request, and the type that its answer decodes to."""

    method: str
    path: str
    answer: Any
    query: Mapping[str, Any] = {}
    body: Any = None
    also_ok: tuple[int, ...] = ()
    in_items: bool = False
    """Whether the answer is the list in the field `items`, of values of that type."""
    stream: Callable[[], Iterator[bytes]] | None = None
    """Instead of a body: makes lines of JSON, packed with gzip, as they are sent."""


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A request whose answer comes in pages; `limit` rows at most, None: all."""

    path: str
    item: Any
    query: Mapping[str, Any]
    limit: int | None = None


class Page(msgspec.Struct, frozen=True):
    """One page of a listing."""

    items: list[msgspec.Raw]
    next_cursor: str | None = None


Instant = datetime | str
Dates = date | str


def given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def days_of(
    project_id: str | None,
    model_id: str | None,
    endpoint: str | None,
    day: Dates | None,
    from_: Dates | None,
    to: Dates | None,
    order: str | None,
) -> dict[str, Any]:
    names = given(project_id=project_id, model_id=model_id, endpoint=endpoint, order=order)
    days = {"day": day, "from": from_, "to": to}
    return names | {name: day_text(value) for name, value in days.items() if value is not None}


def day_text(value: Dates) -> str:
    if isinstance(value, datetime):
        raise ConfigError("a day is a date or text such as 2025-01-31, not a datetime")
    return value if isinstance(value, str) else value.isoformat()


def instant_text(value: Instant) -> str:
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ConfigError("an instant needs a time zone: use datetime.now(timezone.utc) and the like")
    return value.isoformat()


def segment(text: str) -> str:
    return quote(text, safe="")
