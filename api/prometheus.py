"""What does Prometheus scrape? `GET /metrics`: counts of this process, and the state of broker, database and ledger."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.door.access import address_of, demand, the_projects
from api.measures import Measures
from api.model_series import model_series
from api.problems import Problem
from api.readiness import Ready
from api.services import Services, services_of
from stream.alerting.policies import SEVERITIES
from stream.store import accounts, client_counts, gauges

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
        measures.tasks.set(len(asyncio.all_tasks()))
        measures.live_listeners.set(services.feed.listeners)
        async with self._lock:
            if time.monotonic() - self._at > BELIEVED_S:
                _show(measures, await services.readiness.state())
                await _stored(services)
                self._at = time.monotonic()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def prometheus_metrics(request: Request) -> Response:
    """Prometheus text. Without a key it names no project; keep it off the public network all the same.

    With a key that may read, as `X-API-Key` or as `Authorization: Bearer`, it also has gauges of the key's models.
    """
    services = services_of(request)
    secret = request.headers.get("X-API-Key") or _bearer(request)
    await request.app.state.scrapes.refresh(services)
    text = generate_latest(services.measures.registry)
    if secret is not None:
        who = await services.keyring.open(secret, address_of(request))
        demand(who, "read")
        projects = await the_projects(services, who, None)
        async with services.database.connection() as connection:
            text += await model_series(connection, services.settings, projects)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _bearer(request: Request) -> str | None:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


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


def _waiting(measures: Measures, state: gauges.Waiting) -> None:
    measures.rollup_waiting.set(state.model_days)
    measures.days_waiting.set(state.days)
    for severity in SEVERITIES:
        measures.alerts_open.labels(severity).set(state.alerts.get(severity, 0))
    for status in ("pending", "sent", "failed"):
        measures.messages.labels(status).set(state.messages.get(status, 0))


async def _stored(services: Services) -> None:
    try:
        async with services.database.connection() as connection:
            rows = await accounts.partitions(connection, services.settings.topic)
            since = (datetime.now(UTC) - LEDGER_DAYS).date()
            services.measures.day_difference.set(await accounts.day_difference(connection, first=since))
            lost = await client_counts.lost_since(connection, since)
            grace = timedelta(seconds=services.settings.grace_s)
            _waiting(services.measures, await gauges.waiting(connection, datetime.now(UTC), grace))
    except Problem:
        return
    services.measures.lost_by_clients.clear()
    for reason, events in lost.items():
        services.measures.lost_by_clients.labels(reason).set(events)
    for row in rows:
        services.measures.difference.labels(str(row["partition"])).set(row["difference"])
