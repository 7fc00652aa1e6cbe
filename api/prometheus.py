"""What does Prometheus scrape? `GET /metrics`: counts of this process, and the state of broker, database and ledger."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.measures import Measures
from api.problems import Problem
from api.readiness import Ready
from api.services import Services, services_of
from stream.store import accounts, client_counts

router = APIRouter(tags=["pipeline"])

BELIEVED_S = 5.0
"""Database and broker are asked at most this often, however many scrape."""
LEDGER_DAYS = timedelta(days=7)


class Scrapes:
    """When state was last asked for; one look at a time."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._lock = asyncio.Lock()

    async def refresh(self, services: Services) -> None:
        """Bring the gauges up to date."""
        measures = services.measures
        measures.buffer_bytes.set(services.bridge.budget.held)
        measures.waiting_records.set(services.bridge.producer.waiting)
        measures.live_listeners.set(services.feed.listeners)
        async with self._lock:
            if time.monotonic() - self._at > BELIEVED_S:
                _show(measures, await services.readiness.state())
                await _ledger(services)
                self._at = time.monotonic()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def prometheus_metrics(request: Request) -> Response:
    """Prometheus text. Names no project, so it needs no key; keep it off the public network all the same."""
    services = services_of(request)
    await request.app.state.scrapes.refresh(services)
    return Response(generate_latest(services.measures.registry), media_type=CONTENT_TYPE_LATEST)


def _show(measures: Measures, state: Ready) -> None:
    measures.broker_up.set(state.broker.ok)
    measures.database_up.set(state.database.ok)
    for partition in state.partitions:
        name = str(partition.partition)
        measures.stopped.labels(name).set(partition.stopped_reason is not None)
        if partition.lag is not None:
            measures.lag.labels(name).set(partition.lag)
        if partition.heartbeat_age_s is not None:
            measures.silence.labels(name).set(partition.heartbeat_age_s)


async def _ledger(services: Services) -> None:
    try:
        async with services.database.connection() as connection:
            rows = await accounts.partitions(connection, services.settings.topic)
            since = (datetime.now(UTC) - LEDGER_DAYS).date()
            services.measures.day_difference.set(await accounts.day_difference(connection, first=since))
            lost = await client_counts.lost_since(connection, since)
    except Problem:
        return
    services.measures.lost_by_clients.clear()
    for reason, events in lost.items():
        services.measures.lost_by_clients.labels(reason).set(events)
    for row in rows:
        services.measures.difference.labels(str(row["partition"])).set(row["difference"])
