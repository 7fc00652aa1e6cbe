"""How do two selections of days differ, and past days from another baseline? `/api/v1/compare`, `/drift/against`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.days import FIRST, LAST, span
from api.door.access import Read, the_project
from api.problems import invalid
from api.services import services_of
from api.shapes import DriftDay
from stream.closing.comparing import DAYS, DAYS_MOST, Comparison, Pair, Selection, Side, compare
from stream.closing.rescoring import score_against
from stream.store.results import FeatureRow
from stream.store.snapshot import repeatable

router = APIRouter(tags=["results"])

ProjectName = Annotated[str, Query(min_length=1, max_length=256, examples=["proj_123"])]
ModelName = Annotated[str, Query(min_length=1, max_length=256, examples=["churn_model_v1"])]
Name = Annotated[str, Query(min_length=1, max_length=256)]
Day = Annotated[
    date | None, Query(ge=FIRST, le=LAST, description=f"Without days: the newest {DAYS} with events.")
]


class ComparedSide(BaseModel):
    """A selection: its days together."""

    project_id: str
    model_id: str
    endpoint: str
    days: list[date]
    requests: int
    latency_mean_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    prediction_n: int
    prediction_mean: float | None
    proba_mean: float | None


class FeatureSide(BaseModel):
    """A feature in a selection."""

    n: int
    missing: int
    missing_rate: float | None
    minimum: float | None
    maximum: float | None
    mean: float | None
    stddev: float | None
    p05: float | None
    p50: float | None
    p95: float | None
    distinct_count: int | None
    exact: bool
    rank_error: float | None


class ComparedFeature(BaseModel):
    """A feature of both: `b` scored in bins that are frozen from `a`."""

    feature: str
    kind: str
    verdict: str
    psi: float | None
    psi_expected: float | None = Field(description="The PSI that no difference would give.")
    chi_square: float | None
    degrees_of_freedom: int | None
    p_value: float | None
    q_value: float | None
    js_distance: float | None
    l_infinity: float | None
    warning: float | None
    drift: float | None
    a: FeatureSide | None
    b: FeatureSide | None
    bins: list[dict[str, Any]] | None = Field(description="`baseline_share` is that of `a`.")


class ComparisonAnswer(BaseModel):
    """Two selections of days."""

    a: ComparedSide
    b: ComparedSide
    method: Literal["merged sketches"]
    exact: bool = Field(description="No sketch is estimating: all numbers are those of the raw values.")
    rank_error: float = Field(description="By how much a quantile's rank may be off, at most, as a share.")
    features: list[ComparedFeature]


class RescoredAnswer(BaseModel):
    """Past days against a baseline version; each row's `method` says whether by counters or from sketches."""

    baseline_version: int
    stored: Literal[False] = Field(description="The days keep the verdicts that they have.")
    items: list[DriftDay]


@router.get("/compare", response_model=ComparisonAnswer)
async def compare_selections(
    request: Request,
    who: Read,
    a_project_id: ProjectName,
    a_model_id: ModelName,
    b_project_id: ProjectName,
    b_model_id: ModelName,
    a_endpoint: Name = "predict",
    b_endpoint: Name = "predict",
    a_from: Day = None,
    a_to: Day = None,
    b_from: Day = None,
    b_to: Day = None,
) -> Any:
    """Champion and challenger, staging and production, this week and last, with the statistics of drift.

    Each side's days are merged from their sketches. `a` is what `b` is compared with: its bins are frozen as a
    baseline's would be, with the settings of its project.
    """
    services = services_of(request)
    for project_id in (a_project_id, b_project_id):
        await the_project(services, who, project_id)
    a = Selection(a_project_id, a_model_id, a_endpoint, *_range("a_to", a_from, a_to))
    b = Selection(b_project_id, b_model_id, b_endpoint, *_range("b_to", b_from, b_to))
    async with services.database.connection() as connection, repeatable(connection):
        found = await compare(connection, a, b)
    return _answer(found)


@router.get("/drift/against", response_model=RescoredAnswer)
async def drift_against(
    request: Request,
    who: Read,
    project_id: ProjectName,
    model_id: ModelName,
    version: Annotated[int, Query(ge=1, le=2_147_483_647)],
    first: Annotated[date, Query(alias="from", ge=FIRST, le=LAST, description="First local day.")],
    last: Annotated[date, Query(alias="to", ge=FIRST, le=LAST, description="Last local day, included.")],
    endpoint: Name = "predict",
) -> Any:
    """Score past days against any version of the model's baseline. Nothing is stored."""
    services = services_of(request)
    await the_project(services, who, project_id)
    _range("to", first, last)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    async with services.database.connection() as connection, repeatable(connection):
        rows = await score_against(connection, project_id, model_id, endpoint, version, days)
    now = datetime.now(UTC)
    return {
        "baseline_version": version,
        "stored": False,
        "items": [{**row, "updated_at": now} for row in rows],
    }


def _range(field: str, first: date | None, last: date | None) -> tuple[date | None, date | None]:
    first, last = span(None, first, last)
    if first is not None and last is not None and (last - first).days >= DAYS_MOST:
        raise invalid(field, f"at most {DAYS_MOST} days are merged at once")
    return first, last


def _answer(found: Comparison) -> dict[str, Any]:
    return {
        "a": _side(found.a),
        "b": _side(found.b),
        "method": "merged sketches",
        "exact": found.exact,
        "rank_error": found.rank_error,
        "features": [_feature(pair) for pair in found.features],
    }


def _side(side: Side) -> dict[str, Any]:
    names = {"project_id": side.project_id, "model_id": side.model_id, "endpoint": side.endpoint}
    return asdict(side.metric) | names | {"days": side.days}


def _feature(pair: Pair) -> dict[str, Any]:
    bins = None if pair.b.bins is None else msgspec.json.decode(pair.b.bins)
    return asdict(pair.b) | {"a": _values(pair.a), "b": _values(pair.b), "bins": bins}


def _values(row: FeatureRow | None) -> dict[str, Any] | None:
    return None if row is None or not row.n else asdict(row)
