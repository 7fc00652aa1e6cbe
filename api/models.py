"""Which models have sent events? `GET /api/v1/models`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api.days import ModelId, ProjectId
from api.door.access import Read, the_projects
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.services import services_of
from api.shapes import Model
from stream.store import registry

router = APIRouter(tags=["results"])


@router.get("/models", response_model=Page[Model])
async def list_models(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    model_id: ModelId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Models and their endpoints; they register themselves."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    asked = ["models", projects, model_id]
    after = decode(cursor, asked, tuple[str, str, str])
    async with services.database.connection() as connection:
        rows = await registry.models(
            connection, project_ids=projects, model_id=model_id, after=after, limit=limit + 1
        )
    rows, last = cut(rows, limit)
    following = None if last is None else encode([last[column] for column in registry.MODEL_KEY], asked)
    return {"items": rows, "next_cursor": following}
