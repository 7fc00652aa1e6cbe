"""Can a model's training data be its baseline? `POST /api/v1/baselines/from-data`: columns in, exact bins out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.bridge.body import NDJSON, READ_S, gunzipped
from api.database import reached
from api.door.access import Operate, Read, the_project
from api.label_keys import hash_of
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import BaselineFromData
from stream.closing.choices import choices_for
from stream.closing.reference import DataSet
from stream.closing.transfer import preview_data, store_data
from stream.store import projects
from stream.store.baselines import read_settings
from stream.weekdays import Weekdays

router = APIRouter(prefix="/baselines", tags=["baselines"])

LINE_MOST = 8_388_608
"""Bytes of a line: 100,000 numbers or so."""

Name = Annotated[str, Query(min_length=1, max_length=256)]
ModelName = Annotated[str, Query(min_length=1, max_length=256, examples=["churn_model_v1"])]
ProjectName = Annotated[str, Query(min_length=1, max_length=256, examples=["proj_123"])]
DataName = Annotated[
    str, Query(max_length=256, description="What the data set is called, such as its file's name.")
]
Sha256 = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{64}$", description="Of the file; by default that of the lines as they are sent."
    ),
]
OfWeekdays = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]] | None,
    Query(
        description="The weekdays that it stands for, Monday 1 to Sunday 7; by default all days.",
        max_length=7,
    ),
]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A part of a column a line, the parts of a column behind one another, all columns of the same "
        "length. `@latency_ms`, `@y_pred` and `@y_proba` are the built-in features. Null is missing. May be packed with "
        "gzip.",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "examples": {
                    "two columns": {
                        "value": '{"feature": "age", "values": [29, 31, 44]}\n'
                        '{"feature": "country", "values": ["CA", "US"]}\n{"feature": "country", "values": [null]}'
                    }
                },
            }
        },
    }
}


@router.post("/from-data", response_model=BaselineFromData, status_code=201, openapi_extra=_BODY)
async def capture_baseline_from_data(
    request: Request,
    who: Operate,
    project_id: ProjectName,
    model_id: ModelName,
    endpoint: Name = "predict",
    name: DataName = "",
    sha256: Sha256 = None,
    weekdays: OfWeekdays = None,
    note: Annotated[str, Query(max_length=1000)] = "",
) -> Any:
    """Make a reference data set the next version, of all days or of some weekdays, active at once.

    Bins and shares are exact, by the rules of a captured window. No event is counted. The model need not have had one.
    """
    services = services_of(request)
    data = await _read(request, services, await the_project(services, who, project_id), model_id, endpoint)
    with reached():
        made = await store_data(
            services.database.pool,
            (project_id, model_id, endpoint),
            data,
            name,
            sha256 or data.sha256,
            _set_of(weekdays),
            captured_by=who.key.name,
            note=note,
        )
    return asdict(made)


@router.post("/from-data/preview", response_model=BaselineFromData, openapi_extra=_BODY)
async def preview_baseline_from_data(
    request: Request,
    who: Read,
    project_id: ProjectName,
    model_id: ModelName,
    endpoint: Name = "predict",
    name: DataName = "",
    sha256: Sha256 = None,
    weekdays: OfWeekdays = None,
) -> Any:
    """What it would be, which features had better be ignored, and which only the data or only the events have."""
    services = services_of(request)
    data = await _read(request, services, await the_project(services, who, project_id), model_id, endpoint)
    with reached():
        seen = await preview_data(
            services.database.pool,
            (project_id, model_id, endpoint),
            data,
            name,
            sha256 or data.sha256,
            _set_of(weekdays),
        )
    return asdict(seen)


def _set_of(weekdays: list[int] | None) -> Weekdays:
    return tuple(sorted(set(weekdays))) if weekdays and len(set(weekdays)) < 7 else None


async def _read(
    request: Request, services: Services, project_id: str, model_id: str, endpoint: str
) -> DataSet:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in NDJSON:
        raise Problem("unsupported_media_type", "Send application/x-ndjson, a part of a column a line.")
    if not services.data_sets.is_free(project_id):
        raise Problem(
            "buffer_full",
            "Another data set of the project is being read, or two of others; send it again shortly.",
            retry_after_s=5,
        )
    async with services.data_sets.turn(project_id, READ_S):  # free still: nothing else ran since
        return await _taken(request, services, project_id, model_id, endpoint)


async def _taken(
    request: Request, services: Services, project_id: str, model_id: str, endpoint: str
) -> DataSet:
    async with services.database.connection() as connection:
        settings = await read_settings(connection, project_id)
        hashed = [
            project.label_key_id
            for project in await projects.read(connection, project_ids=[project_id])
            if project.label_key_id is not None
        ]
    hide = hash_of(services, project_id, hashed[0]) if hashed else None
    data = DataSet(
        lambda feature: choices_for(settings, model_id, endpoint, feature),
        services.settings.max_features,
        hide,
    )
    async for line in _lines(request):
        await data.take(line)
    await data.end()
    return data


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of a body of any length; holds one."""
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("identity", "gzip"):
        raise Problem("unsupported_media_type", "Content-Encoding may be gzip or left out.")
    chunks = _timely(request)
    rest = bytearray()
    async for chunk in gunzipped(chunks) if packed == "gzip" else chunks:
        rest += chunk
        if b"\n" in chunk:
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in lines:
                if line.strip():
                    yield line.strip()
        if len(rest) > LINE_MOST:
            raise Problem(
                "payload_too_large", f"A line may have {LINE_MOST} bytes; send a column in more parts."
            )
    if rest.strip():
        yield bytes(rest.strip())


async def _timely(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(READ_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem("request_timeout", f"Nothing arrived for {READ_S:g} s.") from None
        yield chunk
