"""What are days held against? `/api/v1/baselines`: captured over explicit days, versioned, one active for each weekday."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field, field_validator

from api.database import reached
from api.days import FIRST, LAST, Endpoint, ModelId, ProjectId
from api.door.access import Operate, Read, the_project, the_projects
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem
from api.services import services_of
from api.shapes import Baseline, BaselineDetail, BaselinesByWeekday, Strict
from ml_guard.errors import ConfigError
from ml_guard.weekdays import EACH, WORKDAY_WEEKEND, check
from stream.closing import capture as capturing
from stream.closing import transfer
from stream.store import baselines, registry

router = APIRouter(prefix="/baselines", tags=["baselines"])

Name = Annotated[str, Field(min_length=1, max_length=256)]
Version = Annotated[int, Path(ge=1, le=2_147_483_647)]


class Which(Strict):
    """A model's endpoint."""

    project_id: Name = Field(examples=["proj_123"])
    model_id: Name = Field(examples=["churn_model_v1"])
    endpoint: Name = "predict"


class Window(Which):
    """Closed days to capture."""

    days: list[Annotated[date, Field(ge=FIRST, le=LAST)]] = Field(
        min_length=1, max_length=1000, examples=[["2025-01-01", "2025-01-02"]]
    )
    note: str = Field("", max_length=1000, examples=["before the January campaign"])


@router.post("", response_model=BaselineDetail, status_code=201)
async def capture_baseline(request: Request, who: Operate, window: Window) -> Any:
    """Merge the days' sketches and freeze their bins as a new version of all days, the one active version at once."""
    services = services_of(request)
    await the_project(services, who, window.project_id)
    with reached():
        captured = await capturing.capture(
            services.database.pool,
            window.project_id,
            window.model_id,
            window.endpoint,
            window.days,
            captured_by=who.key.name,
            note=window.note,
        )
    return asdict(captured)


@router.post("/preview", response_model=BaselineDetail)
async def preview_baseline(request: Request, who: Read, window: Window) -> Any:
    """What a capture would freeze; nothing is stored."""
    services = services_of(request)
    await the_project(services, who, window.project_id)
    with reached():
        captured = await capturing.preview(
            services.database.pool, window.project_id, window.model_id, window.endpoint, window.days
        )
    return asdict(captured)


class WindowByWeekday(Window):
    """Closed days to capture, each weekday with its group."""

    weekdays: list[list[Annotated[int, Field(ge=1, le=7)]]] = Field(
        EACH,
        min_length=1,
        max_length=7,
        description="Groups of weekdays, Monday 1 to Sunday 7, none of them twice; each day of its own by default.",
        examples=[WORKDAY_WEEKEND],
    )

    @field_validator("weekdays")
    @classmethod
    def are_apart(cls, groups: list[list[int]]) -> list[list[int]]:
        """No group is empty, no weekday twice."""
        try:
            check(groups)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return groups


@router.post("/by-weekday", response_model=BaselinesByWeekday, status_code=201)
async def capture_baselines_by_weekday(request: Request, who: Operate, window: WindowByWeekday) -> Any:
    """Capture a version for each group of weekdays from its own days, all or none; each active for its weekdays at once.

    Refused where a group has no day, or too few events for any day to be tested with; the answer says which.
    """
    services = services_of(request)
    await the_project(services, who, window.project_id)
    with reached():
        captured = await capturing.capture_by_weekday(
            services.database.pool,
            window.project_id,
            window.model_id,
            window.endpoint,
            window.days,
            window.weekdays,
            captured_by=who.key.name,
            note=window.note,
        )
    return asdict(captured)


@router.post("/by-weekday/preview", response_model=BaselinesByWeekday)
async def preview_baselines_by_weekday(request: Request, who: Read, window: WindowByWeekday) -> Any:
    """What a capture by weekday would freeze; nothing is stored."""
    services = services_of(request)
    await the_project(services, who, window.project_id)
    with reached():
        captured = await capturing.preview_by_weekday(
            services.database.pool,
            window.project_id,
            window.model_id,
            window.endpoint,
            window.days,
            window.weekdays,
        )
    return asdict(captured)


class Copy(Which):
    """Whose baselines a model starts from."""

    from_model_id: Name = Field(examples=["churn_model_v0"])
    from_endpoint: Name = "predict"
    version: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = Field(
        None, description="Left out: all that are active there, each for its weekdays."
    )
    note: str = Field("", max_length=1000)


@router.post("/copy", response_model=BaselinesByWeekday, status_code=201)
async def copy_baseline(request: Request, who: Operate, wanted: Copy) -> Any:
    """Give a model the baselines of another one of its project as new versions, active at once.

    A new version of a model starts so from its predecessor's, before its first event.
    """
    services = services_of(request)
    await the_project(services, who, wanted.project_id)
    with reached():
        copied = await transfer.copy(
            services.database.pool,
            (wanted.project_id, wanted.model_id, wanted.endpoint),
            (wanted.from_model_id, wanted.from_endpoint),
            wanted.version,
            captured_by=who.key.name,
            note=wanted.note,
        )
    return {"items": [asdict(one) for one in copied], "warnings": []}


@router.get("", response_model=Page[Baseline])
async def list_baselines(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    model_id: ModelId = None,
    endpoint: Endpoint = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """All versions, of each model the newest first."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    asked = ["baselines", projects, model_id, endpoint]
    after = decode(cursor, asked, tuple[str, str, str, int])
    async with services.database.connection() as connection:
        rows = await registry.baselines(
            connection,
            project_ids=projects,
            model_id=model_id,
            endpoint=endpoint,
            after=after,
            limit=limit + 1,
        )
    rows, last = cut(rows, limit)
    following = None if last is None else encode([last[column] for column in registry.BASELINE_KEY], asked)
    return {"items": rows, "next_cursor": following}


@router.get("/{version}", response_model=BaselineDetail)
async def read_baseline(
    request: Request,
    who: Read,
    version: Version,
    project_id: Annotated[str, Query(max_length=256)],
    model_id: Annotated[str, Query(max_length=256)],
    endpoint: Annotated[str, Query(max_length=256)] = "predict",
) -> Any:
    """One version with its features' bins."""
    services = services_of(request)
    await the_project(services, who, project_id)
    key = (project_id, model_id, endpoint)
    async with services.database.connection() as connection:
        found = await baselines.read_baseline(connection, *key, version)
        if found is None:
            raise Problem(
                "unknown_baseline", f"{model_id!r}, {endpoint!r} has no baseline version {version}."
            )
        rows = await baselines.read_baseline_features(connection, *key, version)
    return {**asdict(found), "features": [asdict(row) for row in rows]}


@router.post("/{version}/activate", response_model=Baseline)
async def activate_baseline(request: Request, who: Operate, version: Version, which: Which) -> Any:
    """Compare new days of this version's weekdays with it; closed days keep theirs.

    Active versions that share a weekday with it are ended; one of all days ends every other.
    """
    services = services_of(request)
    await the_project(services, who, which.project_id)
    with reached():
        active = await capturing.activate(
            services.database.pool, which.project_id, which.model_id, which.endpoint, version
        )
    return asdict(active)
