"""What could not be counted, and why? `/api/v1/dead-letters`: listed, shown with their bytes, sent again."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field, model_validator

from api.days import ProjectId
from api.door.access import Operate, Read, the_projects
from api.paging import MOST, Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import Strict
from ml_guard.errors import REASONS
from stream.store import accounts
from stream.store.reading import Row

router = APIRouter(prefix="/dead-letters", tags=["pipeline"])

_ID = re.compile(r"(\d{1,9})-(\d{1,18})-(-?\d{1,9})")
IN_FLIGHT = 100

Id = Annotated[str, Field(max_length=64, pattern=r"^\d{1,9}-\d{1,18}-(-?\d{1,9})$", examples=["0-1041-0"])]
Reason = Annotated[str, Query(max_length=64, examples=["unknown_project"])]


class DeadLetter(BaseModel):
    """An event or record that was refused; `id` is partition-offset-index in the event topic."""

    id: str
    topic: str
    partition: int
    offset: int
    event_index: int
    project_id: str | None
    reason: str
    detail: str
    appended_at: datetime
    replayed_at: datetime | None


class DeadLetterDetail(DeadLetter):
    """With its bytes; null when the dead letter topic no longer has them."""

    original_base64: str | None
    original_text: str | None = Field(description="Null, too, where they are not UTF-8.")
    truncated: bool = Field(
        description="The bytes were too many for a dead letter, which has their beginning."
    )


class Which(Strict):
    """Which to send again: these ids, or those of a reason that were not sent again yet."""

    ids: list[Id] | None = Field(None, min_length=1, max_length=MOST)
    project_id: str | None = Field(None, max_length=256)
    reason: str | None = Field(None, max_length=64, examples=["unknown_project"])
    limit: int = Field(MOST, ge=1, le=MOST)
    again: bool = Field(False, description="Also what was sent again before; it may be counted twice.")

    @model_validator(mode="after")
    def _one_way(self) -> Which:
        if (self.ids is None) == (self.reason is None):
            raise ValueError("give either `ids` or `reason`")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"`reason` is one of {', '.join(sorted(REASONS))}")
        return self


class Replayed(BaseModel):
    """`skipped`: sent again before, unknown, or their bytes are gone or cut off."""

    replayed: int
    skipped: int
    remaining: int = Field(description="Of the same reason, still to be sent again.")


@router.get("", response_model=Page[DeadLetter])
async def list_dead_letters(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    reason: Reason | None = None,
    replayed: bool | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """The newest first. Those that name no project of ours are seen by keys for all projects only."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    asked = ["dead-letters", projects, reason, replayed]
    after = decode(cursor, asked, tuple[datetime, str, int, int, int])
    async with services.database.connection() as connection:
        rows = await accounts.dead_letters(
            connection,
            topic=services.settings.topic,
            project_ids=projects,
            reason=reason,
            replayed=replayed,
            after=after,
            limit=limit + 1,
        )
    rows, last = cut(rows, limit)
    following = None if last is None else encode([last[column] for column in accounts.DEAD_KEY], asked)
    return {"items": [_shown(row) for row in rows], "next_cursor": following}


@router.get("/{id}", response_model=DeadLetterDetail)
async def read_dead_letter(
    request: Request,
    who: Read,
    id: Annotated[str, Path(max_length=64, examples=["0-1041-0"])],  # noqa: A002
) -> Any:
    """One with its original bytes."""
    services = services_of(request)
    (row,) = await _found(services, [id], await the_projects(services, who, None)) or (None,)
    if row is None:
        raise Problem("unknown_dead_letter", f"There is no dead letter {id!r}, or the key is not for it.")
    place = (row["dead_partition"], row["dead_offset"])
    stored = (await services.broker.records(services.settings.dead_topic, [place])).get(place)
    value = None if stored is None else stored.value
    return {
        **_shown(row),
        "original_base64": None if value is None else base64.b64encode(value).decode(),
        "original_text": None if value is None else _text(value),
        "truncated": stored is not None and "truncated" in stored.headers,
    }


@router.post("/replay", response_model=Replayed)
async def replay_dead_letters(request: Request, who: Operate, which: Which) -> Any:
    """Send the original bytes again, for when what was wrong is mended: the project made, the limit raised.

    An event without a timestamp gets the arrival time of the first attempt, in so far as it is well-formed.
    """
    services = services_of(request)
    projects = await the_projects(services, who, which.project_id)
    replayed = None if which.again else False
    if which.ids is not None:
        found = await _found(services, which.ids, projects)
        asked_for = len(set(which.ids))
    else:
        found = await _of_reason(services, projects, which.reason, replayed, which.limit)
        asked_for = len(found)
    chosen = [row for row in found if which.again or row["replayed_at"] is None]
    sent = await _sent_again(services, chosen)
    remaining = 0
    if which.reason is not None:
        async with services.database.connection() as connection:
            remaining = await accounts.count_unreplayed(
                connection, services.settings.topic, project_ids=projects, reason=which.reason
            )
    return {"replayed": sent, "skipped": asked_for - sent, "remaining": remaining}


async def _found(services: Services, ids: Sequence[str], projects: Sequence[str] | None) -> list[Row]:
    matches = [match for match in map(_ID.fullmatch, ids) if match]
    places = [(int(match[1]), int(match[2]), int(match[3])) for match in matches]
    async with services.database.connection() as connection:
        return await accounts.dead_letters_at(
            connection, services.settings.topic, places, project_ids=projects
        )


async def _of_reason(
    services: Services, projects: Sequence[str] | None, reason: str | None, replayed: bool | None, limit: int
) -> list[Row]:
    async with services.database.connection() as connection:
        return await accounts.dead_letters(
            connection,
            topic=services.settings.topic,
            project_ids=projects,
            reason=reason,
            replayed=replayed,
            limit=limit,
        )


async def _sent_again(services: Services, rows: Sequence[Row]) -> int:
    places = [(row["dead_partition"], row["dead_offset"]) for row in rows]
    stored = await services.broker.records(services.settings.dead_topic, places) if places else {}
    whole = [
        (row, record.value)
        for row, place in zip(rows, places, strict=True)
        if (record := stored.get(place)) is not None and "truncated" not in record.headers
    ]
    for start in range(0, len(whole), IN_FLIGHT):
        some = whole[start : start + IN_FLIGHT]
        await asyncio.gather(*(services.bridge.again(value, row["appended_at"]) for row, value in some))
        async with services.database.connection() as connection:
            await accounts.mark_replayed(connection, [row for row, _ in some])
    return len(whole)


def _shown(row: Row) -> Row:
    return {**row, "id": f"{row['partition']}-{row['offset']}-{row['event_index']}"}


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
