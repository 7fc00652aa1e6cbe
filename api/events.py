"""How do events come in over HTTP? `POST /api/v1/events`: the bridge into Kafka."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Request, Response

from api.bridge.verdicts import Taken, Verdict
from api.door.access import Ingest
from api.door.keyring import Principal
from api.problems import Problem
from api.services import services_of
from ml_guard.event import Event

router = APIRouter(tags=["events"])

EXAMPLE = {
    "event_id": "optional",
    "project_id": "proj_123",
    "model_id": "churn_model_v1",
    "endpoint": "predict",
    "timestamp": "2025-01-01T00:00:00Z",
    "latency_ms": 42,
    "y_pred": 1,
    "y_proba": 0.81,
    "features": {"age": 29, "balance": 1200.5, "country": "CA"},
}
_LEAN = {"project_id": "proj_123", "model_id": "churn_model_v1", "features": {"age": 31, "country": "US"}}


class EventVerdict(msgspec.Struct, omit_defaults=True):
    """What became of the event at `index` of the body."""

    index: int
    status: Literal["ok", "error"]
    reason: str | None = None
    detail: str | None = None


class Verdicts(msgspec.Struct):
    """`accepted` events are in Kafka, acknowledged by all its replicas in sync; `rejected` ones are not."""

    accepted: int
    rejected: int
    results: list[EventVerdict]


(_shapes, COMPONENTS) = msgspec.json.schema_components(
    [Event, Verdicts], ref_template="#/components/schemas/{name}"
)
_EVENT, _VERDICTS = _shapes

_BODY: dict[str, Any] = {
    "required": True,
    "description": "One event, an array of events, or one event a line; may be packed with gzip.",
    "content": {
        "application/json": {
            "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]},
            "examples": {
                "one": {"summary": "One event", "value": EXAMPLE},
                "several": {"summary": "Several events", "value": [EXAMPLE, _LEAN]},
            },
        },
        "application/x-ndjson": {
            "schema": {"type": "string"},
            "examples": {
                "lines": {
                    "summary": "An event a line",
                    "value": "\n".join(msgspec.json.encode(event).decode() for event in (EXAMPLE, _LEAN)),
                }
            },
        },
    },
}


@router.post(
    "/events",
    openapi_extra={"requestBody": _BODY},
    responses={
        200: {
            "description": "A verdict for each event.",
            "content": {"application/json": {"schema": _VERDICTS}},
        }
    },
    response_class=Response,
)
async def send_events(
    request: Request,
    who: Ingest,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A name of this body, of your making. A retry with the same name and body counts once.",
            max_length=200,
            pattern=r"^[!-~]+$",
        ),
    ] = None,
) -> Response:
    """Events into Kafka. Answers when the broker has them; a rejected event does not keep others back."""
    services = services_of(request)
    key_id = who.key.key_id
    services.limit.check(
        key_id,
        "key_events_per_s",
        f"The key {who.key.name!r} may send {services.settings.key_events_per_s:g} events a second.",
    )

    async def known(names: set[str]) -> set[str]:
        return await services.projects.known(name for name in names if who.sees(name))

    try:
        verdicts = await services.bridge.receive(
            request, known, time.time_ns() // 1000, idempotency_key, holder_of(who)
        )
    except Problem:
        services.requests.spend(key_id, 1)
        raise
    services.limit.spend(key_id, max(1, len(verdicts)))
    services.measures.judged("accepted" if isinstance(v, Taken) else v.reason for v in verdicts)
    answer = _answer(verdicts)
    if verdicts and not answer.accepted:
        raise _nothing_taken(verdicts, answer)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def holder_of(who: Principal) -> str:
    """In whose name the bridge holds a body: that of the project that the key is for, else the key's own."""
    bound = who.project_ids
    return next(iter(bound)) if bound is not None and len(bound) == 1 else f"key {who.key.key_id}"


def _answer(verdicts: list[Verdict]) -> Verdicts:
    results = [
        EventVerdict(index, "ok")
        if isinstance(verdict, Taken)
        else EventVerdict(index, "error", verdict.reason, verdict.detail)
        for index, verdict in enumerate(verdicts)
    ]
    rejected = sum(result.status == "error" for result in results)
    return Verdicts(len(results) - rejected, rejected, results)


def _nothing_taken(verdicts: list[Verdict], answer: Verdicts) -> Problem:
    beside = msgspec.to_builtins(answer)
    first = answer.results[0]
    details = {result.detail for result in answer.results}
    if first.reason == "unknown_project" and len(details) == 1:
        return Problem("unknown_project", f"Nothing was taken: {first.detail}.", **beside)
    if len(verdicts) == 1:
        return Problem("invalid_request", f"The event is not valid: {first.detail}.", **beside)
    return Problem(
        "invalid_request", f"None of {len(verdicts)} events is valid; the first: {first.detail}.", **beside
    )
