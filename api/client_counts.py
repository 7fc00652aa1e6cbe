"""What became of events before they came to us? `/api/v1/client-counts`: clients report it, people read it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.days import DayParameter, ProjectId, span
from api.door.access import Ingest, Read, the_projects, unknown_project
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.services import services_of
from api.shapes import Strict
from stream.client_reports import MOST_COUNTS, MOST_EVENTS, Outcome, named, taken
from stream.store import client_counts
from stream.store.projects import held

router = APIRouter(prefix="/client-counts", tags=["pipeline"])

EXAMPLE = {
    "project_id": "proj_123",
    "day": "2025-01-01",
    "outcome": "dropped",
    "reason": "queue_full",
    "events": 12,
}


class ReportedCount(Strict):
    """Events of one UTC day and outcome since the client was made; it only grows."""

    project_id: str = Field(max_length=256, description="Empty: the event named none.", examples=["proj_123"])
    day: date = Field(examples=["2025-01-01"])
    outcome: Outcome = Field(examples=["dropped"])
    reason: str = Field("", max_length=64, examples=["queue_full"])
    events: int = Field(ge=0, le=MOST_EVENTS, examples=[12])


class ClientReport(Strict):
    """What a client counted so far. A report that is repeated, late or out of order changes nothing."""

    client_id: str = Field(pattern=r"^[!-~]{8,64}$", examples=["0f0e6d0a-7e0c-4b3e-9a55-0f6f1f1c2d3e"])
    counts: list[ReportedCount] = Field(max_length=MOST_COUNTS, examples=[[EXAMPLE]])


class Reported(BaseModel):
    """How many counts were taken, and of which projects none were: there is no such project, or the key is not for it."""

    counts: int
    unknown_projects: list[str]


class ClientDay(BaseModel):
    """What all clients of a project say became of their events on a UTC day."""

    project_id: str
    day: date
    outcome: Outcome
    reason: str
    events: int
    reported_at: datetime


@router.post("", response_model=Reported)
async def report_client_counts(request: Request, who: Ingest, report: ClientReport) -> Any:
    """Take a client's counts. Days older than a week, and those ahead, are left out."""
    services = services_of(request)
    key_id = who.key.key_id
    services.limit.check(
        key_id,
        "key_events_per_s",
        f"The key {who.key.name!r} may send {services.settings.key_events_per_s:g} events a second.",
    )
    services.limit.spend(key_id, max(1, len(report.counts)))
    projects = named(report.counts)
    known = await services.projects.known(name for name in projects if who.sees(name))
    if projects and not known:
        raise unknown_project(min(projects))
    async with services.database.connection() as connection, connection.transaction():
        known = await held(connection, known)
        counts = taken(report.counts, known, datetime.now(UTC))
        await client_counts.merge(connection, report.client_id, counts)
    return {"counts": len(counts), "unknown_projects": sorted(projects - known)}


@router.get("", response_model=Page[ClientDay])
async def list_client_counts(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    first: Annotated[DayParameter, Query(alias="from")] = None,
    last: Annotated[DayParameter, Query(alias="to", description="Included.")] = None,
    outcome: Annotated[Outcome | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """What clients sent, retried and lost, by project and UTC day, newest first."""
    services = services_of(request)
    first, last = span(None, first, last)
    projects = await the_projects(services, who, project_id)
    asked = ["client-counts", projects, first, last, outcome]
    after = decode(cursor, asked, tuple[date, str, str, str])
    async with services.database.connection() as connection:
        rows = await client_counts.days(
            connection,
            project_ids=projects,
            first=first,
            last=last,
            outcome=outcome,
            after=after,
            limit=limit + 1,
        )
    rows, final = cut(rows, limit)
    following = None if final is None else [final[column] for column in client_counts.ORDER]
    return {"items": rows, "next_cursor": None if following is None else encode(following, asked)}
