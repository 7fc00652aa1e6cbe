"""What changes just now? `GET /api/v1/live`: server-sent events, a row of a day or an alert whenever it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.alerts import Alert, shown
from api.days import ModelId, ProjectId
from api.door.access import Read, the_projects
from api.door.keyring import Principal
from api.feed import QUEUE, Feed, Listener
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import MetricDay
from stream.store.changes import Change, changes, last_change
from stream.store.reading import Row

router = APIRouter(tags=["results"])

HEARTBEAT_S = 15
LOOK_S = 1.0
"""How often an idle stream looks whether its key still holds."""
SEND_S = 20
"""A reader that takes nothing for so long is cut off; it resumes with `Last-Event-ID`."""
RETRY_MS = 1_000
MOST_ID = 2**63 - 1

_METRIC, _ALERT = TypeAdapter(MetricDay), TypeAdapter(Alert)
_HELLO = {
    "description": (
        "`hello` first (`change_id`: where the stream begins), then `metric` (a `MetricDay`; its id is the "
        "`change_id`), `alert` (an `Alert`; its `news` says what became of it), and `resync` (`reason`) "
        "when rows were left out: read the lists anew. A comment every 15 s."
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

    listener, position = await services.feed.join(wants, who.key.key_id)
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
            for change in missed or ():
                yield _event(change)
        while await _still_valid(services, secret):
            for change in await listener.take(LOOK_S):
                if change[1]["change_id"] > sent:
                    sent = change[1]["change_id"]
                    yield _event(change)
            if listener.lost is not None:
                why, listener.lost = listener.lost, None
                yield _resync(why)
    finally:
        feed.leave(listener)


async def _missed(
    services: Services, listener: Listener, seen: int, position: int
) -> tuple[int, list[Change] | None]:
    """From where the stream goes on, and what changed between `seen` and there.

    None: that is too much to make up for, or `seen` is of another database.
    """
    async with services.database.connection() as connection:
        if seen > position:  # the feed is a moment behind; the reader may be ahead of it, not of the database
            return (seen, []) if seen <= await last_change(connection) else (position, None)
        found = await changes(connection, seen, position, QUEUE + 1)
    if len(found) > QUEUE:
        return position, None
    return position, [change for change in found if listener.wants(change[1])]


async def _still_valid(services: Services, secret: str | None) -> bool:
    try:
        who: Principal = await services.keyring.open(secret)
    except Problem as problem:
        return problem.code != "invalid_key"
    return "read" in who.scopes


def _event(change: Change) -> ServerSentEvent:
    name, row = change
    text = _text(_METRIC, row) if name == "metric" else _text(_ALERT, shown(row))
    return ServerSentEvent(data=text, event=name, id=str(row["change_id"]))


def _text(shape: TypeAdapter[Any], row: Row) -> str:
    return shape.dump_json(shape.validate_python(row)).decode()


def _resync(why: str) -> ServerSentEvent:
    return ServerSentEvent(data=f'{{"reason":"{why}"}}', event="resync")
