"""How fast was a model between two instants? `GET /api/v1/latency`: percentiles over any range, in steps for a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from api.days import Endpoint
from api.door.access import Read, the_project
from api.problems import invalid
from api.services import services_of
from stream.store import traffic

router = APIRouter(tags=["results"])

MOST_ROWS = 2_000
MINUTE = timedelta(minutes=1)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

Share = Annotated[float, Field(ge=0, le=1)]


class LatencyRow(BaseModel):
    """[start, end); each percentile is within 2 % of the exact value, null where there was no latency."""

    start: datetime
    end: datetime
    requests: int
    latency_n: int
    mean_ms: float | None
    percentiles: dict[str, float | None] = Field(examples=[{"0.5": 41.2, "0.95": 80.3}])


class Latency(BaseModel):
    """A row a step that had traffic, or one row for all of the range."""

    items: list[LatencyRow]


@router.get("/latency", response_model=Latency)
async def read_latency(
    request: Request,
    who: Read,
    project_id: Annotated[str, Query(max_length=256)],
    model_id: Annotated[str, Query(max_length=256)],
    since: Annotated[
        AwareDatetime, Query(alias="from", description="Begins with the minute of this instant.", ge=EARLIEST)
    ],
    until: Annotated[
        AwareDatetime, Query(alias="to", description="Ends with the minute before this instant.", le=LATEST)
    ],
    endpoint: Endpoint = None,
    step_s: Annotated[int | None, Query(ge=60, le=31_536_000, multiple_of=60)] = None,
    percentiles: Annotated[list[Share] | None, Query(max_length=20)] = None,
) -> Any:
    """Requests and latency of a model between two instants, to the minute; without `endpoint` of all of them."""
    services = services_of(request)
    await the_project(services, who, project_id)
    start, end = _minute(since), _minute(until + MINUTE - timedelta(microseconds=1))
    if start >= end:
        raise invalid("to", "it does not lie behind `from`")
    if step_s is not None and (end - start) / timedelta(seconds=step_s) > MOST_ROWS:
        raise invalid("step_s", f"it makes more than {MOST_ROWS} rows: take a longer step or a shorter range")
    shares = percentiles or [0.5, 0.9, 0.95, 0.99]
    of = traffic.Of(project_id, model_id, endpoint)
    async with services.database.connection() as connection:
        if step_s is None:
            rows = [await traffic.between(connection, of, start, end, shares)]
        else:
            rows = await traffic.series(connection, of, start, end, step_s, shares)
    return {"items": [_shown(row, shares) for row in rows]}


def _minute(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def _shown(row: traffic.Stretch, shares: list[float]) -> dict[str, Any]:
    values: Sequence[float | None] = row.latency_ms or [None] * len(shares)
    return {
        "start": row.start,
        "end": row.end,
        "requests": row.requests,
        "latency_n": row.latency_n,
        "mean_ms": row.mean_ms,
        "percentiles": {f"{share:g}": value for share, value in zip(shares, values, strict=True)},
    }
