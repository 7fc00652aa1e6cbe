"""How are a feature's values distributed, day by day? `GET /api/v1/features/daily`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.days import Question, answer
from api.paging import Page
from api.shapes import FeatureDay, Kind
from stream.store import reading

router = APIRouter(tags=["results"])

Feature = Annotated[str | None, Query(max_length=256, examples=["age"])]


@router.get("/features/daily", response_model=Page[FeatureDay])
async def daily_features(question: Question, feature: Feature = None, kind: Kind | None = None) -> Any:
    """Counts, moments, quantiles and most frequent labels of each feature."""
    narrowed = question.only(feature=feature, kind=kind)
    return await answer(narrowed, "features", reading.features, reading.FEATURE_ORDER)
