"""How much traffic, how fast, which predictions, day by day? `GET /api/v1/metrics/daily`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.days import Question, answer
from api.paging import Page
from api.shapes import MetricDay
from stream.store import reading

router = APIRouter(tags=["results"])


@router.get("/metrics/daily", response_model=Page[MetricDay])
async def daily_metrics(question: Question) -> Any:
    """A row a model, endpoint and local day; the open day is there too, as `provisional`."""
    return await answer(question, "metrics", reading.metrics, reading.METRIC_ORDER)
