"""What must be known to judge: results of days, requests by minute, the ledger, costs, the zones?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

import msgspec
import numpy as np

from stream.alerting.costs import CostFact, ProjectCosts
from stream.alerting.findings import FeatureFact, ModelDay
from stream.alerting.policies import Subject
from stream.alerting.traffic import Span
from stream.days import Calendar
from stream.store.catalog import read_projects
from stream.store.pool import Connection

PERCENTILES = {0.5: "latency_p50_ms", 0.9: "latency_p90_ms", 0.95: "latency_p95_ms", 0.99: "latency_p99_ms"}
NOTABLE = ("drift", "warning", "type_changed", "missing_feature", "new_feature")
MISSING_LEAST = 0.01
"""Values missing beyond the baseline's share are looked at from here on; policies ask for more."""


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A result that was written since the last look."""

    subject: Subject
    day: date
    day_start: datetime
    day_end: datetime
    revision: int
    change_id: int


@dataclass(frozen=True, slots=True)
class ModelTraffic:
    """A model, with its first and its last request."""

    subject: Subject
    first_at: datetime
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerGap:
    """A project-day whose events are not all accounted for."""

    project_id: str
    day: date | None
    day_start: datetime
    decoded: int
    difference: int


async def read_position(connection: Connection) -> int:
    """Up to which change results have been looked at."""
    return int(await connection.fetchval("select change_id from ml_guard.alert_position"))


async def move_position(connection: Connection, before: int, after: int) -> bool:
    """Note that results up to `after` have been looked at; False if somebody else has been there."""
    moved = await connection.fetchval(
        "update ml_guard.alert_position set change_id = $2 where change_id = $1 returning true", before, after
    )
    return bool(moved)


async def read_changed(connection: Connection, after: int, limit: int) -> list[ChangedDay]:
    """Results that were written after this change, in their order."""
    rows = await connection.fetch(
        """select project_id, model_id, endpoint, day, day_start, day_end, revision, change_id
             from ml_guard.metric_day where change_id > $1 order by change_id limit $2""",
        after,
        limit,
    )
    return [ChangedDay(Subject(row[0], row[1], row[2]), *list(row)[3:]) for row in rows]


async def read_days(
    connection: Connection, subject: Subject, since: datetime, until: datetime
) -> list[ModelDay]:
    """A model's days that begin in [since, until], in order, with the features that are worth looking at."""
    metrics = await connection.fetch(
        """select day, day_start, zone, revision, requests, latency_n, latency_p50_ms, latency_p90_ms,
                  latency_p95_ms, latency_p99_ms, baseline_version, features_scored
             from ml_guard.metric_day
            where project_id = $1 and model_id = $2 and endpoint = $3 and day_start between $4 and $5
            order by day_start""",
        *subject,
        since,
        until,
    )
    rows = await connection.fetch(
        """select f.day_start, f.feature, f.kind, f.verdict, f.psi, f.psi_expected, f.q_value, f.n, f.missing_rate,
                  b.missing::double precision / nullif(b.n + b.missing, 0) as baseline_missing
             from ml_guard.feature_day f
             left join ml_guard.baseline_feature b
               on (b.project_id, b.model_id, b.endpoint, b.version, b.feature, b.kind)
                = (f.project_id, f.model_id, f.endpoint, f.baseline_version, f.feature, f.kind)
            where f.project_id = $1 and f.model_id = $2 and f.endpoint = $3 and f.day_start between $4 and $5
              and (f.verdict = any($6::text[])
                   or f.missing_rate >= $7 + coalesce(b.missing::double precision / nullif(b.n + b.missing, 0), 1))
            order by f.day_start, f.feature, f.kind""",
        *subject,
        since,
        until,
        list(NOTABLE),
        MISSING_LEAST,
    )
    facts: dict[datetime, list[FeatureFact]] = {}
    for row in rows:
        facts.setdefault(row[0], []).append(FeatureFact(*list(row)[1:]))
    return [
        ModelDay(
            day=row["day"],
            day_start=row["day_start"],
            zone=row["zone"],
            revision=row["revision"],
            requests=row["requests"],
            latency_n=row["latency_n"],
            latency_ms={share: row[column] for share, column in PERCENTILES.items()},
            baseline_version=row["baseline_version"],
            features_scored=row["features_scored"],
            features=tuple(facts.get(row["day_start"], ())),
        )
        for row in metrics
    ]


async def read_bins(
    connection: Connection, subject: Subject, day_start: datetime, features: Collection[str]
) -> dict[tuple[str, str], list[Mapping[str, object]]]:
    """The bins of some features of a day, by feature and kind."""
    rows = await connection.fetch(
        """select feature, kind, bins from ml_guard.feature_day
            where project_id = $1 and model_id = $2 and endpoint = $3 and day_start = $4
              and feature = any($5::text[]) and bins is not null""",
        *subject,
        day_start,
        list(features),
    )
    return {(row["feature"], row["kind"]): msgspec.json.decode(row["bins"]) for row in rows}


async def read_calendars(connection: Connection) -> dict[str, Calendar]:
    """Every project's days."""
    return {row.project_id: Calendar(row.zones) for row in await read_projects(connection)}


async def read_models(connection: Connection, since: datetime, until: datetime) -> list[ModelTraffic]:
    """Models with requests in [since, until), and when they had their first and last there."""
    rows = await connection.fetch(
        """select m.project_id, m.model_id, m.endpoint, f.minute as first_at,
                  l.minute + interval '1 minute' as last_at
             from ml_guard.model m
             cross join lateral (select minute from ml_guard.traffic_minute t
                 where (t.project_id, t.model_id, t.endpoint) = (m.project_id, m.model_id, m.endpoint)
                   and t.minute >= $1 and t.minute < $2 order by t.minute limit 1) f
             cross join lateral (select minute from ml_guard.traffic_minute t
                 where (t.project_id, t.model_id, t.endpoint) = (m.project_id, m.model_id, m.endpoint)
                   and t.minute >= $1 and t.minute < $2 order by t.minute desc limit 1) l
            order by m.project_id, m.model_id, m.endpoint""",
        since,
        until,
    )
    return [ModelTraffic(Subject(row[0], row[1], row[2]), row[3], row[4]) for row in rows]


async def read_requests(
    connection: Connection, asked: Sequence[tuple[Subject, Span]]
) -> dict[tuple[Subject, Span], int]:
    """Requests of models in spans of whole minutes."""
    found: dict[tuple[Subject, Span], int] = {}
    if not asked:
        return found
    rows = await connection.fetch(
        """select a.n, coalesce(sum(t.requests), 0)::bigint
             from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
                  with ordinality as a(project_id, model_id, endpoint, span_start, span_end, n)
             left join ml_guard.traffic_minute t
               on (t.project_id, t.model_id, t.endpoint) = (a.project_id, a.model_id, a.endpoint)
              and t.minute >= a.span_start and t.minute < a.span_end
            group by a.n""",
        [subject.project_id for subject, _ in asked],
        [subject.model_id for subject, _ in asked],
        [subject.endpoint for subject, _ in asked],
        [span[0] for _, span in asked],
        [span[1] for _, span in asked],
    )
    for number, requests in rows:
        found[asked[number - 1]] = requests
    return found


async def read_gaps(
    connection: Connection, since: datetime, project_ids: Collection[str] | None = None
) -> list[LedgerGap]:
    """Project-days since then whose ledger does not balance."""
    rows = await connection.fetch(
        """select project_id, day, day_start, decoded, difference from ml_guard.ledger_days
            where day_start >= $1 and not balanced and ($2::text[] is null or project_id = any($2::text[]))
            order by project_id, day_start""",
        since,
        None if project_ids is None else list(project_ids),
    )
    return [LedgerGap(*row) for row in rows]


async def read_costs(
    connection: Connection, since: date, project_ids: Collection[str] | None = None
) -> dict[str, ProjectCosts]:
    """The costs since then of projects that have a filter, in the filter's currency."""
    rows = await connection.fetch(
        """select f.project_id, f.currency, c.day, c.amount, c.services, c.estimated
             from ml_guard.cost_filter f
             left join ml_guard.cost_day c
               on c.project_id = f.project_id and c.currency = f.currency and c.day >= $1
            where $2::text[] is null or f.project_id = any($2::text[])
            order by f.project_id, c.day""",
        since,
        None if project_ids is None else list(project_ids),
    )
    found: dict[str, ProjectCosts] = {}
    for project_id, of in groupby(rows, key=lambda row: str(row["project_id"])):
        days = list(of)
        found[project_id] = ProjectCosts(
            days[0]["currency"],
            [
                CostFact(
                    row["day"],
                    row["amount"],
                    msgspec.json.decode(row["services"], type=dict[str, Decimal]),
                    row["estimated"],
                )
                for row in days
                if row["day"] is not None
            ],
        )
    return found


async def read_subjects(connection: Connection, project_ids: Collection[str] | None) -> list[Subject]:
    """The models of these projects; None: of all."""
    rows = await connection.fetch(
        """select project_id, model_id, endpoint from ml_guard.model
            where $1::text[] is null or project_id = any($1::text[]) order by 1, 2, 3""",
        None if project_ids is None else list(project_ids),
    )
    return [Subject(*row) for row in rows]


async def read_minutes(
    connection: Connection, subject: Subject, since: datetime, until: datetime
) -> tuple[np.ndarray, np.ndarray]:
    """A model's minutes with requests, in epoch seconds and in order, and how many each had."""
    rows = await connection.fetch(
        """select extract(epoch from minute)::double precision, sum(requests)::bigint from ml_guard.traffic_minute
            where project_id = $1 and model_id = $2 and endpoint = $3 and minute >= $4 and minute < $5
            group by minute order by minute""",
        *subject,
        since,
        until,
    )
    starts = np.array([row[0] for row in rows], dtype=np.float64)
    return starts, np.array([row[1] for row in rows], dtype=np.int64)
