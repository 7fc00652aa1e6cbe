"""How is a feature binned and judged? `/api/v1/feature-settings`: kind, bins, thresholds, ignored; frozen at capture."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, model_validator

from api.days import ModelId
from api.door.access import Operate, Read, the_project, writing
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem
from api.services import services_of
from api.shapes import Kind, Strict
from stream.bins import MAX_BINS
from stream.store import registry

router = APIRouter(prefix="/feature-settings", tags=["baselines"])

Name = Annotated[str, Field(min_length=1, max_length=256)]
Of = Annotated[str, Query(min_length=1, max_length=256)]


class FeatureSetting(BaseModel):
    """What is set; null: as the wider setting has it, or the default."""

    project_id: str
    model_id: str
    endpoint: str
    feature: str
    kind: Kind | None
    bins: int | None
    warning: float | None
    drift: float | None
    ignored: bool | None
    updated_at: datetime


class NewFeatureSetting(Strict):
    """`*` is every model, endpoint or feature; the most specific setting wins, field by field."""

    project_id: Name = Field(examples=["proj_123"])
    model_id: Name = Field("*", examples=["churn_model_v1"])
    endpoint: Name = "*"
    feature: Name = Field("*", examples=["age"])
    kind: Kind | None = Field(
        None, description="Which one the baseline takes of a feature whose values come in several kinds."
    )
    bins: int | None = Field(
        None, ge=2, le=MAX_BINS, examples=[20], description="Finer than 50 is finer than the sketch."
    )
    warning: float | None = Field(None, gt=0, le=1000, examples=[0.1])
    drift: float | None = Field(None, gt=0, le=1000, examples=[0.25])
    ignored: bool | None = None

    @model_validator(mode="after")
    def _warns_before_drift(self) -> NewFeatureSetting:
        if self.warning is not None and self.drift is not None and self.warning > self.drift:
            raise ValueError("`warning` must not lie above `drift`")
        return self


@router.get("", response_model=Page[FeatureSetting])
async def list_feature_settings(
    request: Request,
    who: Read,
    project_id: Of,
    model_id: ModelId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """A project's settings; with `model_id` those that can concern this model."""
    services = services_of(request)
    await the_project(services, who, project_id)
    asked = ["feature-settings", project_id, model_id]
    after = decode(cursor, asked, tuple[str, str, str, str])
    async with services.database.connection() as connection:
        rows = await registry.feature_settings(
            connection, project_ids=[project_id], model_id=model_id, after=after, limit=limit + 1
        )
    rows, last = cut(rows, limit)
    following = None if last is None else encode([last[column] for column in registry.SETTING_KEY], asked)
    return {"items": rows, "next_cursor": following}


@router.put("", response_model=FeatureSetting)
async def set_feature(request: Request, who: Operate, setting: NewFeatureSetting) -> Any:
    """Set it, in place of what was set there; holds from the next capture on."""
    services = services_of(request)
    await the_project(services, who, setting.project_id)
    async with writing(services, setting.project_id) as connection:
        return await registry.put_feature_setting(connection, setting.model_dump())


@router.delete("", status_code=204, response_model=None)
async def delete_feature_setting(
    request: Request, who: Operate, project_id: Of, model_id: Of = "*", endpoint: Of = "*", feature: Of = "*"
) -> None:
    """Back to the wider setting, or the default."""
    services = services_of(request)
    await the_project(services, who, project_id)
    async with services.database.connection() as connection:
        gone = await registry.delete_feature_setting(connection, (project_id, model_id, endpoint, feature))
    if not gone:
        raise Problem("not_found", "Nothing is set there.")
