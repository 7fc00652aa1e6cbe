"""What does a project cost on AWS? `/api/v1/costs`: by UTC day beside its traffic, and which costs are its own."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.cost_shapes import CostDay, CostFilter, NewCostFilter
from api.days import DayParameter, ProjectId, span
from api.door.access import Operate, Read, the_project, the_projects
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem
from api.services import services_of
from stream.costs import question
from stream.store import costs
from stream.store.reading import Order

router = APIRouter(prefix="/costs", tags=["costs"])

Of = Annotated[str, Query(min_length=1, max_length=256)]


@router.get("/daily", response_model=Page[CostDay])
async def daily_costs(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    day: Annotated[DayParameter, Query(description="One UTC day.")] = None,
    first: Annotated[DayParameter, Query(alias="from", description="First UTC day.")] = None,
    last: Annotated[DayParameter, Query(alias="to", description="Last UTC day, included.")] = None,
    order: Annotated[Order, Query(description="By day.")] = "desc",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """A row a project, UTC day and currency, as it was last pulled from AWS, beside that day's requests."""
    services = services_of(request)
    first, last = span(day, first, last)
    projects = await the_projects(services, who, project_id)
    asked = ["costs", projects, first, last, order]
    after = decode(cursor, asked, tuple[date, str, str])
    async with services.database.connection() as connection:
        rows = await costs.daily(
            connection,
            project_ids=projects,
            first=first,
            last=last,
            after=after,
            order=order,
            limit=limit + 1,
        )
    rows, end = cut(rows, limit)
    following = None if end is None else encode([end[column] for column in costs.COST_ORDER], asked)
    return {"items": rows, "next_cursor": following}


@router.get("/filter", response_model=CostFilter)
async def read_cost_filter(request: Request, who: Read, project_id: Of) -> Any:
    """Which costs are the project's, and when AWS is asked next."""
    services = services_of(request)
    await the_project(services, who, project_id)
    async with services.database.connection() as connection:
        found = await costs.read_filter(connection, project_id)
    if found is None:
        raise unknown_filter(project_id)
    return found


@router.put("/filter", response_model=CostFilter)
async def set_cost_filter(request: Request, who: Operate, chosen: NewCostFilter) -> Any:
    """Set it, in place of what was set; the schedule pulls the last days anew. The key's name is recorded."""
    services = services_of(request)
    await the_project(services, who, chosen.project_id)
    made = question.CostFilter(chosen.tags, chosen.services, chosen.accounts, chosen.currency)
    async with services.database.connection() as connection:
        return await costs.put_filter(connection, chosen.project_id, made, who.key.name)


@router.delete("/filter", status_code=204, response_model=None)
async def delete_cost_filter(request: Request, who: Operate, project_id: Of) -> None:
    """Pull no more costs of the project; what was pulled stays."""
    services = services_of(request)
    await the_project(services, who, project_id)
    async with services.database.connection() as connection:
        if not await costs.delete_filter(connection, project_id):
            raise unknown_filter(project_id)


def unknown_filter(project_id: str) -> Problem:
    """Nothing says which costs are the project's."""
    return Problem(
        "unknown_cost_filter",
        f"No filter says which of AWS's costs are those of {project_id!r}; `ml-guard costs filter` sets one.",
        project_id=project_id,
    )
