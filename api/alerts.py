"""What is wrong, and who has it in hand? `/api/v1/alerts`: episodes, acknowledged and muted here, with their messages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from api.days import ModelId, ProjectId
from api.door.access import Operate, Read, the_projects
from api.door.keyring import Principal
from api.paging import Cursor, Limit, Page, cut, decode, encode
from api.problems import Problem
from api.services import Services, services_of
from api.shapes import Strict
from stream.store import alert_outbox, alerts
from stream.store.reading import Row

router = APIRouter(prefix="/alerts", tags=["alerts"])

Id = Annotated[str, Path(max_length=64, examples=["4f0c2a9be1d34c77"])]
News = Literal["opened", "updated", "reminded", "acknowledged", "muted", "unmuted", "resolved"]
YEAR_MINUTES = 366 * 24 * 60


class AlertFeature(BaseModel):
    """A feature that the alert names: what was measured of it, and from which value on it counts."""

    feature: str
    kind: str
    measure: str
    value: float | None
    bound: float | None
    expected: float | None
    q_value: float | None
    n: int
    days: int
    moved: str


class Alert(BaseModel):
    """An episode. Model and endpoint are empty where it is about the whole project."""

    alert_id: str
    project_id: str
    model_id: str
    endpoint: str
    policy: str
    condition: str
    severity: Literal["info", "warning", "critical"]
    channels: list[str] | None = Field(description="Null: every channel that is set up.")
    state: Literal["open", "acknowledged", "resolved"]
    headline: str
    since: datetime
    zone: str
    day: date | None
    day_start: datetime | None
    revision: int | None
    provisional: bool
    n: int
    baseline_version: int | None
    value: float | None
    bound: float | None
    note: str
    features: list[AlertFeature]
    opened_at: datetime
    found_at: datetime
    notified_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    muted_until: datetime | None
    muted_by: str | None
    news: News = Field(description="What became of it last.")
    change_id: int = Field(description="Which write it was, as in the live stream.")


class Mute(Strict):
    """How long nothing is written about it; it holds for what its policy finds there in the meantime, too."""

    minutes: int = Field(ge=0, le=YEAR_MINUTES, examples=[120], description="0: write again.")


class AlertDelivery(BaseModel):
    """A message about alerts on its way to one channel; the id travels with every attempt."""

    message_id: str
    channel: str
    project_id: str
    model_id: str
    endpoint: str
    alert_ids: list[str]
    subject: str
    status: Literal["pending", "sent", "failed"]
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    last_attempt_at: datetime | None
    last_error: str | None
    sent_at: datetime | None


class AlertDeliveries(BaseModel):
    """The delivery log of an alert, the newest first."""

    items: list[AlertDelivery]


@router.get("", response_model=Page[Alert])
async def list_alerts(
    request: Request,
    who: Read,
    project_id: ProjectId = None,
    model_id: ModelId = None,
    policy: Annotated[str | None, Query(max_length=256)] = None,
    state: Annotated[
        Literal["open", "acknowledged", "resolved"] | None,
        Query(description="`open` has the acknowledged ones too."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """The newest first."""
    services = services_of(request)
    projects = await the_projects(services, who, project_id)
    asked = ["alerts", projects, model_id, policy, state]
    after = decode(cursor, asked, tuple[datetime, str])
    async with services.database.connection() as connection:
        rows = await alerts.alerts(
            connection,
            project_ids=projects,
            model_id=model_id,
            policy=policy,
            state=state,
            after=after,
            limit=limit + 1,
        )
    rows, last = cut(rows, limit)
    following = None if last is None else encode([last[column] for column in alerts.ALERT_KEY], asked)
    return {"items": [shown(row) for row in rows], "next_cursor": following}


@router.get("/{id}", response_model=Alert)
async def read_alert(request: Request, who: Read, id: Id) -> Any:  # noqa: A002
    """One of them."""
    return shown(await _found(services_of(request), who, id))


@router.post("/{id}/acknowledge", response_model=Alert)
async def acknowledge_alert(request: Request, who: Operate, id: Id) -> Any:  # noqa: A002
    """Take it on: no more reminders. The key's name is recorded; who was first stands."""
    services = services_of(request)
    row = await _found(services, who, id)
    async with services.database.connection() as connection:
        await alerts.acknowledge(connection, row, who.key.name, datetime.now(UTC))
    return shown(await _found(services, who, id))


@router.post("/{id}/mute", response_model=Alert)
async def mute_alert(request: Request, who: Operate, id: Id, mute: Mute) -> Any:  # noqa: A002
    """Have no messages about it for a while. The key's name is recorded."""
    services = services_of(request)
    row = await _found(services, who, id)
    until = datetime.now(UTC) + timedelta(minutes=mute.minutes) if mute.minutes else None
    async with services.database.connection() as connection:
        await alerts.mute(connection, row, until, who.key.name)
    return shown(await _found(services, who, id))


@router.get("/{id}/deliveries", response_model=AlertDeliveries)
async def list_alert_deliveries(request: Request, who: Read, id: Id) -> Any:  # noqa: A002
    """Its messages: where they went, how often that was tried, and what went wrong."""
    services = services_of(request)
    row = await _found(services, who, id)
    async with services.database.connection() as connection:
        return {"items": await alert_outbox.deliveries(connection, row["alert_id"])}


async def _found(services: Services, who: Principal, alert_id: str) -> Row:
    projects = await the_projects(services, who, None)
    async with services.database.connection() as connection:
        rows = await alerts.alerts(connection, project_ids=projects, alert_id=alert_id, limit=1)
    if not rows:
        raise Problem("unknown_alert", f"There is no alert {alert_id!r}, or the key is not for it.")
    (row,) = rows
    return row


def shown(row: Row) -> Row:
    """An alert as `Alert` has it."""
    state = "acknowledged" if row["state"] == "open" and row["acknowledged_at"] else row["state"]
    return {**row, **row["details"], "state": state}
