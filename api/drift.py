"""Which features have drifted, and in which bins? `GET /api/v1/drift/daily`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.days import Question, Verdict, answer
from api.features import Feature
from api.paging import Page
from api.shapes import DriftDay, Kind
from stream.store import reading

router = APIRouter(tags=["results"])


@router.get("/drift/daily", response_model=Page[DriftDay])
async def daily_drift(
    question: Question,
    feature: Feature = None,
    kind: Kind | None = None,
    verdict: Annotated[
        list[Verdict] | None, Query(description="One or more, each its own parameter.")
    ] = None,
    bins: Annotated[
        bool, Query(description="With each row's bins; without them it is a tenth of the size.")
    ] = True,
) -> Any:
    """The verdict on each feature with every number behind it."""
    narrowed = question.only(feature=feature, kind=kind, verdicts=verdict)
    return await answer(narrowed, "drift", reading.drift, reading.FEATURE_ORDER, bins=bins)
