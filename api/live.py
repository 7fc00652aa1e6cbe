"""What changes just now? `GET /api/v1/live`: server-sent events, a row of a day whenever it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.days import ModelId, ProjectId
from api.door.access import Read, the_projects
from api.door.keyring import Principal
from api.feed import QUEUE, Feed, Listener
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import MetricDay
from stream.store import reading
from stream.store.reading import Row

router = APIRouter(tags=["results"])

HEARTBEAT_S = 15
LOOK_S = 1.0
"""How often an idle stream looks whether its key still holds."""
SEND_S = 20
"""A reader that takes nothing for so long is cut off; it resumes with `Last-Event-ID`."""
RETRY_MS = 1_000
MOST_ID = 2**63 - 1

_json = TypeAdapter(MetricDay)
_HELLO = {
    "description": (
        "`hello` first (`change_id`: where the stream begins), then `metric` (a `MetricDay`; its id is the "
        "`change_id`), and `resync` (`reason`) when rows were left out: read the lists anew. A comment every 15 s."
    ),
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get("/live", response_class=EventSourceResponse, responses={200: _HELLO})
async def live(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    model_id: ModelId = None,
    resume: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MOST_ID)] = None,
    last_event_id: Annotated[int | None, Query(ge=0, le=MOST_ID, description="As the header.")] = None,
) -> EventSourceResponse:
    """The stream, from now on, or from the change that the reader saw last."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    allowed = None if projects is None else frozenset(projects)

    def wants(row: Row) -> bool:
        return (allowed is None or row["project_id"] in allowed) and model_id in (None, row["model_id"])

    listener, position = await services.feed.join(wants)
    seen = resume if resume is not None else last_event_id
    secret = request.headers.get("X-API-Key")
    return EventSourceResponse(
        _stream(services, listener, secret, position, seen),
        ping=HEARTBEAT_S,
        ping_message_factory=lambda: ServerSentEvent(comment="here"),
        send_timeout=SEND_S,
    )


async def _stream(
    services: Services, listener: Listener, secret: str | None, position: int, seen: int | None
) -> AsyncIterator[ServerSentEvent]:
    feed: Feed = services.feed
    try:
        yield ServerSentEvent(data=f'{{"change_id":{position}}}', event="hello", retry=RETRY_MS)
        sent = position
        if seen is not None:
            sent, missed = await _missed(services, listener, seen, position)
            if missed is None:
                yield _resync("more has changed than a stream makes up for")
            for row in missed or ():
                yield _metric(row)
        while await _still_valid(services, secret):
            for row in await listener.take(LOOK_S):
                if row["change_id"] > sent:
                    sent = row["change_id"]
                    yield _metric(row)
            if listener.lost is not None:
                why, listener.lost = listener.lost, None
                yield _resync(why)
    finally:
        feed.leave(listener)


async def _missed(
    services: Services, listener: Listener, seen: int, position: int
) -> tuple[int, list[Row] | None]:
    """From where the stream goes on, and what changed between `seen` and there.

    None: that is too much to make up for, or `seen` is of another database.
    """
    async with services.database.connection() as connection:
        if seen > position:  # the feed is a moment behind; the reader may be ahead of it, not of the database
            return (seen, []) if seen <= await reading.last_change(connection) else (position, None)
        rows = await reading.changed_metrics(connection, seen, QUEUE + 1)
    if len(rows) > QUEUE:
        return position, None
    return position, [row for row in rows if row["change_id"] <= position and listener.wants(row)]


async def _still_valid(services: Services, secret: str | None) -> bool:
    try:
        who: Principal = await services.keyring.open(secret)
    except Problem as problem:
        return problem.code != "invalid_key"
    return "read" in who.scopes


def _metric(row: dict[str, Any]) -> ServerSentEvent:
    text = _json.dump_json(_json.validate_python(row)).decode()
    return ServerSentEvent(data=text, event="metric", id=str(row["change_id"]))


def _resync(why: str) -> ServerSentEvent:
    return ServerSentEvent(data=f'{{"reason":"{why}"}}', event="resync")
