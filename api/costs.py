"""What does a project cost on AWS? `/api/v1/costs`: by UTC day beside its traffic, and which costs are its own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.cost_shapes import CostDay, CostFilter, NewCostFilter, PulledCosts
from api.days import DayParameter, ProjectId, span
from api.door.access import Operate, Read, the_project, the_projects, writing
from api.paging import MOST, Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem, invalid
from api.services import services_of
from stream.costs import question
from stream.costs.explorer import Explorer
from stream.costs.pull import pull
from stream.costs.window import yesterday
from stream.store import costs
from stream.store.reading import Order

router = APIRouter(prefix="/costs", tags=["costs"])

Of = Annotated[str, Query(min_length=1, max_length=256)]

DAYS_MOST = 100
"""Days of one pull; AWS keeps fourteen months of them."""


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


@router.post("/pull", response_model=PulledCosts)
async def pull_costs(
    request: Request,
    who: Operate,
    project_id: Of,
    day: Annotated[DayParameter, Query(description="One UTC day; without any, yesterday.")] = None,
    first: Annotated[DayParameter, Query(alias="from", description="First UTC day.")] = None,
    last: Annotated[DayParameter, Query(alias="to", description="Last UTC day, included.")] = None,
    overwrite: Annotated[
        bool, Query(description="Ask for days that are there as well, and put what AWS says in their place.")
    ] = False,
) -> Any:
    """Ask AWS for days that have ended in UTC. Each page of its answer is a request that AWS charges for."""
    services = services_of(request)
    await the_project(services, who, project_id)
    now = datetime.now(UTC)
    first, last = _days(*span(day, first, last), yesterday(now))
    async with services.database.connection() as connection:
        found = await costs.read_filter(connection, project_id)
    if found is None:
        raise unknown_filter(project_id)
    done = await pull(
        services.database.connection,
        Explorer(services.settings.aws_ce_region),
        project_id,
        costs.filter_of(found),
        first,
        last,
        overwrite=overwrite,
        now=now,
    )
    async with services.database.connection() as connection:
        rows = await costs.daily(connection, project_ids=[project_id], first=first, last=last, limit=MOST)
    return {
        "project_id": project_id,
        "first": first,
        "last": last,
        "pulled": done.pulled,
        "kept": done.kept,
        "unanswered": done.unanswered,
        "aws_requests": done.requests,
        "items": rows,
    }


def _days(first: date | None, last: date | None, latest: date) -> tuple[date, date]:
    """The days to pull, at most up to the `latest` that has ended."""
    last = last or latest
    first = first or last
    if last > latest:
        raise invalid(
            "day" if first == last else "to",
            f"AWS's days are UTC's, and the latest that has ended is {latest}",
        )
    if first > last:
        raise invalid("from", f"it lies after {last}, the latest UTC day that has ended")
    if (last - first).days >= DAYS_MOST:
        raise invalid("from", f"a pull is of at most {DAYS_MOST} days")
    return first, last


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
    async with writing(services, chosen.project_id) as connection:
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
