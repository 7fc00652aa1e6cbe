"""How does today compare with the same hours of the days before? `GET /api/v1/drift/same-hours`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.door.access import Read, the_project
from api.services import services_of
from api.shapes import SameHours
from stream.closing.same_hours import read_same_hours
from stream.store.snapshot import repeatable

router = APIRouter(tags=["results"])


@router.get("/drift/same-hours", response_model=SameHours)
async def drift_same_hours(
    request: Request,
    who: Read,
    project_id: Annotated[str, Query(max_length=256, examples=["proj_123"])],
    model_id: Annotated[str, Query(max_length=256, examples=["churn_model_v1"])],
    endpoint: Annotated[str, Query(max_length=256)] = "predict",
    days: Annotated[int, Query(ge=1, le=35, description="Days before to compare with, at most.")] = 7,
) -> Any:
    """The open day up to its last full local hour, scored against the sum of the same hours of the days before.

    Both are exact counts in one baseline version's bins. With a baseline by weekday the days before are of its
    weekdays. What cannot be compared says why: `reason`, and that of each day.
    """
    services = services_of(request)
    await the_project(services, who, project_id)
    async with services.database.connection() as connection, repeatable(connection):
        found = await read_same_hours(connection, project_id, model_id, endpoint, days=days)
    return asdict(found)
