"""Rows of one project as workers and the closer leave them: three closed days and today, with drift planted in `country`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np

from stream.bins import FrozenBins, Kind
from stream.closing.rows import bins_json
from stream.drift import Score, score
from stream.store.aggregates import refresh_traffic
from tests.sql.conftest import Delta, add_traffic

COUNTRY = FrozenBins(
    kind=Kind.CATEGORICAL,
    edges=np.array([]),
    labels=("CA", "US"),
    others=frozenset(),
    q=np.array([0.6, 0.4, 0.0, 0.0, 0.0]),
    m=10_000,
    s=np.zeros(5),
)
AGE = FrozenBins(
    kind=Kind.NUMERIC,
    edges=np.array([30.0, 50.5]),
    labels=(),
    others=None,
    q=np.array([0.25, 0.5, 0.2, 0.05]),
    m=10_000,
    s=np.zeros(4),
)
COUNTS = {"country": np.array([100, 700, 0, 150, 50]), "age": np.array([250, 500, 200, 50])}
VERDICTS = {"country": "drift", "age": "ok"}


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def drift(feature: str) -> tuple[FrozenBins, Score]:
    bins = COUNTRY if feature == "country" else AGE
    return bins, score(COUNTS[feature], bins.y, s=bins.s)


async def plant(connection: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    await connection.execute("insert into ml_guard.project (project_id) values ('shop')")
    await connection.execute(
        """insert into ml_guard.stream_fence (topic, "partition", epoch, first_offset, next_offset, owner, heartbeat_at,
               catalog_generation, records_decoded, records_dead, records_empty, stopped_reason)
           values ('events', 0, 2, 100, 1103, 'one', now(), 1000, 1000, 1, 2, null),
                  ('events', 1, 1, 0, 10, 'one', now() - interval '2 minutes', 1, 9, 0, 0, null),
                  ('events', 2, 1, 0, 0, null, null, 0, 0, 0, 0, 'the log was made anew')"""
    )
    await connection.execute(
        """insert into ml_guard.dead_letter (topic, "partition", "offset", event_index, project_id, reason, detail,
               appended_at, dead_partition, dead_offset)
           values ('events', 0, 500, 0, 'shop', 'invalid_timestamp', 'not a time: 7 o''clock', now(), 0, 0)"""
    )
    await connection.execute(
        """insert into ml_guard.client_count (project_id, day, client_id, outcome, reason, events)
           values ('shop', current_date, 'c', 'dropped', 'queue_full', 12)"""
    )
    await connection.execute(
        """insert into ml_guard.baseline (project_id, model_id, endpoint, version, day_starts, days, window_start,
               window_end, events) values ('shop', 'churn', 'predict', 1, $1, $2, $3, $4, 10000)""",
        [today() - timedelta(days=9)],
        [(today() - timedelta(days=9)).date()],
        today() - timedelta(days=9),
        today() - timedelta(days=8),
    )
    await connection.execute(
        """insert into ml_guard.baseline_feature (project_id, model_id, endpoint, version, feature, kind, n, missing,
               shares, share_errors, warning, drift)
           values ('shop', 'churn', 'predict', 1, 'country', 'categorical', 10000, 0,
                   '{0.6,0.4,0,0,0}', '{0,0,0,0,0}', 0.1, 0.25)"""
    )
    await connection.execute(
        """insert into ml_guard.cost_day (project_id, day, currency, amount, estimated, pulled_at)
           values ('shop', $1, 'USD', 0.36, true, now())""",
        today().date(),
    )
    await connection.execute(
        """insert into ml_guard.model (project_id, model_id, endpoint) values ('shop', 'churn', 'predict')"""
    )
    for age in range(4):
        await _plant_day(connection, today() - timedelta(days=age), closed=age > 0)
    recent = [
        Delta(now - timedelta(minutes=n), [20.0, 40.0, 400.0], shard=n % 4) for n in range(0, 36 * 60, 20)
    ]
    whole = [replace(delta, minute=delta.minute.replace(second=0, microsecond=0)) for delta in recent]
    await add_traffic(connection, whole)
    await _plant_alert(connection)


async def _plant_day(connection: asyncpg.Connection, start: datetime, *, closed: bool) -> None:
    day = (start, start.date(), start + timedelta(days=1))
    revision, status = (1, "final") if closed else (0, "provisional")
    await connection.execute(
        """insert into ml_guard.day_close (project_id, day_start, day, day_end, zone, status, revision)
           values ('shop', $1, $2, $3, 'UTC', $4, $5)""",
        *day,
        "closed" if closed else "open",
        revision,
    )
    await connection.execute(
        """insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision, status,
               requests, latency_n, latency_p50_ms, latency_p95_ms, features_scored, features_drift)
           values ('shop', 'churn', 'predict', $1, $2, $3, 'UTC', $4, $5, 1000, 1000, 40, 400, 2, 1)""",
        *day,
        revision,
        status,
    )
    for feature in ("age", "country"):
        bins, found = drift(feature)
        await connection.execute(
            """insert into ml_guard.feature_day (project_id, model_id, endpoint, feature, kind, day_start, day, day_end,
                   zone, revision, status, n, missing, missing_rate, exact, baseline_version, method, verdict, psi,
                   psi_expected, chi_square, p_value, q_value, bins)
               values ('shop', 'churn', 'predict', $1, $2, $3, $4, $5, 'UTC', $6, $7, 950, 50, 0.05, true, 1, 'counters',
                       $8, $9, $10, $11, $12, $12, $13)""",
            feature,
            bins.kind,
            *day,
            revision,
            status,
            VERDICTS[feature],
            found.psi,
            found.expected,
            found.chi_square,
            found.p_value,
            bins_json(bins, COUNTS[feature], found.contributions),
        )
    await connection.execute(
        """insert into ml_guard.feature_hour (project_id, model_id, endpoint, feature, kind, day_start, day, hour, hour_at,
               n, mean, p50, p95, baseline_version, counts)
           values ('shop', 'churn', 'predict', 'age', 'numeric', $1, $2, 14, $3, 500, 40.5, 40, 62, 1, '{200, 200, 100}')""",
        start,
        start.date(),
        start + timedelta(hours=14),
    )
    for shard, n in ((0, 600), (1, 400)):
        await connection.execute(
            """insert into ml_guard.day_sketch (project_id, model_id, endpoint, feature, kind, day_start, shard, day,
                   day_end, zone, n) values ('shop', 'churn', 'predict', '@events', 'events', $1, $2, $3, $4, 'UTC', $5)""",
            start,
            shard,
            start.date(),
            start + timedelta(days=1),
            n,
        )
        await connection.execute(
            """insert into ml_guard.ledger_day (project_id, day_start, shard, day, decoded, dead, duplicate)
               values ('shop', $1, $2, $3, $4, 1, 2)""",
            start,
            shard,
            start.date(),
            n + 3,
        )


async def _plant_alert(connection: asyncpg.Connection) -> None:
    details = {
        "n": 1000, "baseline_version": 1,
        "features": [{"feature": "country", "kind": "categorical", "measure": "PSI", "moved": "US +30.0 points"}],
    }  # fmt: skip
    opened = datetime.now(UTC) - timedelta(hours=2)
    await connection.execute(
        """insert into ml_guard.alert (alert_id, opened_at, project_id, model_id, endpoint, policy, condition, severity,
               state, headline, since, zone, details, found_at, notified_at, acknowledged_at, acknowledged_by)
           values ('4f0c', $1, 'shop', 'churn', 'predict', 'drift', 'drift', 'warning', 'open', '1 feature in drift',
               $1, 'UTC', $2::text::jsonb, $1, $1, now(), 'ann')""",
        opened,
        json.dumps(details),
    )
    await connection.execute(
        """insert into ml_guard.alert_delivery (message_id, channel, project_id, model_id, endpoint, alert_ids, subject,
               message, status, attempts, created_at, next_attempt_at, sent_at)
           values ('m', 'slack', 'shop', 'churn', 'predict', '{4f0c}', 'x', '{}', 'sent', 1, $1, $1,
               $1::timestamptz + interval '3 seconds')""",
        opened,
    )


async def plant_at(database_url: str) -> None:
    """The rows, and the aggregates refreshed up to today."""
    connection = await asyncpg.connect(database_url)
    try:
        await plant(connection)
        await refresh_traffic(connection, today() - timedelta(days=2), today())
    finally:
        await connection.close()
