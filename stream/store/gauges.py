"""What do gauges show: what waits, which alerts are open, and how models are today, the worst first?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream.store.pool import Connection
from stream.store.reading import Row

RECENT = timedelta(days=3)
"""A model without a day that began within this has no gauges: it is not in use."""
MESSAGES_OF = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the closer has before it, and what became of alerts."""

    model_days: int
    days: int
    alerts: dict[str, int]
    messages: dict[str, int]


async def waiting(connection: Connection, now: datetime, grace: timedelta) -> Waiting:
    """What waits, and how many alerts are open."""
    model_days, days = await connection.fetchrow(  # type: ignore[misc]  # aggregates have one row
        """select (select count(*) from ml_guard.day_change),
                  (select count(*) from ml_guard.day_close
                    where (status <> 'closed' and day_end < $1) or reopened_at is not null)""",
        now - grace,
    )
    alerts = await connection.fetch(
        "select severity, count(*) from ml_guard.alert where state = 'open' group by severity"
    )
    messages = await connection.fetch(
        "select status, count(*) from ml_guard.alert_delivery where created_at >= $1 group by status",
        now - MESSAGES_OF,
    )
    return Waiting(model_days, days, dict(map(tuple, alerts)), dict(map(tuple, messages)))


async def models(
    connection: Connection, project_ids: Sequence[str] | None, now: datetime, most: int
) -> tuple[list[Row], int]:
    """The newest day of each model, the worst first, and how many models there are in all."""
    rows = await connection.fetch(
        """with newest as (
               select distinct on (project_id, model_id, endpoint)
                      project_id, model_id, endpoint, requests, last_event_at, prediction_mean, features_scored,
                      features_warning, features_drift, latency_p50_ms, latency_p90_ms, latency_p95_ms, latency_p99_ms
                 from ml_guard.metric_day
                where day_start >= $1 and ($2::text[] is null or project_id = any($2::text[]))
                order by project_id, model_id, endpoint, day_start desc)
           select *, count(*) over () as in_all from newest
            order by features_drift desc, features_warning desc, requests desc, project_id, model_id, endpoint
            limit $3""",
        now - RECENT,
        None if project_ids is None else list(project_ids),
        max(most, 1),
    )
    return [dict(row) for row in rows[:most]], rows[0]["in_all"] if rows else 0


async def features(
    connection: Connection, project_ids: Sequence[str] | None, now: datetime, most: int
) -> tuple[list[Row], int]:
    """The PSI of features on their model's newest day, the highest first, and how many features there are in all."""
    rows = await connection.fetch(
        """with newest as (
               select distinct on (project_id, model_id, endpoint) project_id, model_id, endpoint, day_start
                 from ml_guard.metric_day
                where day_start >= $1 and ($2::text[] is null or project_id = any($2::text[]))
                order by project_id, model_id, endpoint, day_start desc)
           select f.project_id, f.model_id, f.endpoint, f.feature, f.kind, f.psi, f.verdict, count(*) over () as in_all
             from newest join ml_guard.feature_day f using (project_id, model_id, endpoint, day_start)
            where f.psi is not null and f.day_start >= $1
            order by f.psi desc, f.project_id, f.model_id, f.endpoint, f.feature, f.kind
            limit $3""",
        now - RECENT,
        None if project_ids is None else list(project_ids),
        max(most, 1),
    )
    return [dict(row) for row in rows[:most]], rows[0]["in_all"] if rows else 0
