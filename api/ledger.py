"""Is everything accounted for? `GET /api/v1/ledger`: records by partition, events by project and day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.days import DayParameter, ProjectId, span
from api.door.access import Read, the_projects
from api.paging import Cursor, Limit, cut, decode, encode
from api.services import services_of
from stream.store import accounts

router = APIRouter(tags=["pipeline"])


class LedgerPartition(BaseModel):
    """Records that a partition's worker passed, and what became of them; `difference` should be 0."""

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    records_decoded: int
    records_dead: int
    records_duplicate: int
    records_lost: int
    records_empty: int
    difference: int
    stopped_reason: str | None


class LedgerDay(BaseModel):
    """Events of a project-day: decoded = merged + dead + duplicate + deleted; `project_id` "": of no project."""

    project_id: str
    day: date | None
    day_start: datetime | None
    decoded: int
    merged: int
    dead: int
    duplicate: int
    deleted: int
    difference: int


class Ledger(BaseModel):
    """Both ledgers. `balanced` is about all rows of the question, not of this page alone."""

    balanced: bool
    partitions: list[LedgerPartition] | None = Field(
        description="Null for a key bound to projects: records are everybody's."
    )
    items: list[LedgerDay]
    next_cursor: str | None


@router.get("/ledger", response_model=Ledger)
async def read_ledger(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    first: Annotated[DayParameter, Query(alias="from")] = None,
    last: Annotated[DayParameter, Query(alias="to", description="Included.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Whether every record and every event is accounted for, and where not."""
    services = services_of(request)
    first, last = span(None, first, last)
    projects = await the_projects(services, who, project_id)
    asked = ["ledger", projects, first, last]
    after = decode(cursor, asked, tuple[datetime, str])
    async with services.database.connection() as connection:
        rows = await accounts.ledger(
            connection, project_ids=projects, first=first, last=last, after=after, limit=limit + 1
        )
        difference = await accounts.day_difference(connection, projects, first, last)
        partitions = (
            await accounts.partitions(connection, services.settings.topic)
            if who.project_ids is None
            else None
        )
    rows, final = cut(rows, limit)
    following = None if final is None else encode([final["day_start"], final["project_id"]], asked)
    for row in rows:
        row["day_start"] = None if row["day"] is None else row["day_start"]
    return {
        "balanced": difference == 0 and not any(row["difference"] for row in partitions or ()),
        "partitions": partitions,
        "items": rows,
        "next_cursor": following,
    }
