"""How does a bad day leave? `POST /api/v1/purge` removes a local day of a model, with a receipt."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.days import FIRST, LAST
from api.door.access import Admin, the_project
from api.problems import Problem
from api.receipts import RowsRemoved, TopicKept, kept_until, rows_removed, topics_kept
from api.services import services_of
from api.shapes import Strict
from stream.store.aggregates import refresh_traffic
from stream.store.purge import JustPurgedError
from stream.store.purge import purge_day as purge_from

router = APIRouter(prefix="/purge", tags=["projects"])

APART_S = 5.0
"""Between two purges of a project, in which the events of all others are written."""

Name = Annotated[str, Field(min_length=1, max_length=256)]


class BadDay(Strict):
    """Which local day of which model is to leave."""

    project_id: Name = Field(examples=["proj_123"])
    model_id: Name = Field(examples=["churn_model_v1"])
    endpoint: Name | None = Field(None, description="Left out: every endpoint.", examples=["predict"])
    day: date = Field(ge=FIRST, le=LAST, examples=["2025-01-06"])
    forget_batches: bool = Field(
        False,
        description="Forget which batches and event ids the project has sent in the last 7 days, so that the corrected "
        "events may be sent under the same. A retry of any batch of the project would count again.",
    )


class BaselineHeld(BaseModel):
    """A baseline that was captured from the day, among others; it stays as it is."""

    endpoint: str
    version: int


class PurgeReceipt(BaseModel):
    """What was removed of a day, and what stays in Kafka until when."""

    receipt_id: str
    project_id: str
    model_id: str
    endpoint: str | None
    day: date
    purged_at: datetime
    events: int = Field(description="How many had been merged; the ledger has them as deleted.")
    rows: list[RowsRemoved]
    kafka: list[TopicKept]
    baselines: list[BaselineHeld]


@router.post("", response_model=PurgeReceipt)
async def purge_day(request: Request, who: Admin, bad: BadDay) -> Any:
    """State and results of a model's local day are removed, for good. Events of it that arrive afterwards count."""
    services = services_of(request)
    await the_project(services, who, bad.project_id)
    kafka = await kept_until(services)
    async with services.database.connection() as connection:
        try:
            receipt = await purge_from(
                connection,
                bad.project_id,
                bad.model_id,
                bad.endpoint,
                bad.day,
                forget_batches=bad.forget_batches,
                purged_by=who.key.key_id,
                kafka=kafka,
                apart_s=APART_S,
            )
        except JustPurgedError as error:
            raise Problem(
                "rate_limited",
                f"A project may have one day purged every {APART_S:g} s: all workers stop for each.",
                retry_after_s=error.wait_s,
                limit="purges",
            ) from error
        if receipt is None:
            endpoint = "" if bad.endpoint is None else f" at endpoint {bad.endpoint!r}"
            raise Problem(
                "unknown_day",
                f"Nothing is known of {bad.day} of model {bad.model_id!r}{endpoint}; `ml-guard metrics` lists its days.",
            )
        for start, end in receipt.spans:
            await refresh_traffic(connection, start, end)
    return {
        **bad.model_dump(exclude={"forget_batches"}),
        "receipt_id": receipt.receipt_id,
        "purged_at": receipt.purged_at,
        "events": receipt.events,
        "rows": rows_removed(receipt.rows),
        "kafka": topics_kept(receipt.kafka),
        "baselines": [{"endpoint": endpoint, "version": version} for endpoint, version in receipt.baselines],
    }
