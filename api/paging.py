"""How does a long list go on? Cursors: opaque, made of the last row's key, valid for the same question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

from api.problems import invalid

MOST = 1000

Limit = Annotated[int, Query(ge=1, le=MOST, description="Rows of an answer at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=4096, description="`next_cursor` of the answer before; all else stays the same."),
]

Row = TypeVar("Row")


class Page(BaseModel, Generic[Row]):
    """Some rows of a list, and where the next ones begin."""

    items: list[Row]
    next_cursor: str | None = Field(description="Null: these were the last.")


def _question(asked: Sequence[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:12]


def encode(key: Sequence[Any], asked: Sequence[Any]) -> str:
    """The cursor behind the row with this key, for this question.

    >>> decode(encode(["a", 1], ["p"]), ["p"], list[str | int])
    ['a', 1]
    """
    raw = msgspec.json.encode([_question(asked), *key])
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(cursor: str | None, asked: Sequence[Any], shape: Any) -> Any:
    """The key in a cursor, as `shape`; None without one. Raises a 422 for what is no cursor of this question."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        question, *key = msgspec.json.decode(raw, type=list[Any])
        if question != _question(asked):
            raise invalid("cursor", "it belongs to a question with other parameters")
        return msgspec.convert(key, shape)
    except (binascii.Error, ValueError, TypeError, msgspec.MsgspecError) as error:
        raise invalid("cursor", "it is not one of ours; leave it out to begin anew") from error


def cut(rows: list[Any], limit: int) -> tuple[list[Any], Any]:
    """The rows of this page out of `limit + 1`, and its last row if there are more.

    >>> cut([1, 2, 3], 2), cut([1, 2], 2)
    (([1, 2], 2), ([1, 2], None))
    """
    return (rows[:limit], rows[limit - 1]) if len(rows) > limit else (rows, None)
