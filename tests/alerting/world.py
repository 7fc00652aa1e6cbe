"""A model's results, written as the closer writes them, and the steps that make alerts of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stream.alerting.delivery import Courier
from stream.alerting.evaluation import TIMED_EVERY, Evaluator
from stream.alerting.policies import Policy
from stream.alerting.wording import Place
from stream.days import Calendar
from stream.store.alerts import put_policy
from stream.store.lease import CLOSER, Lease, take
from stream.store.pool import Connection

ZONE = "America/Toronto"
TOPIC = "events"
BINS = [
    {"bin": "label", "label": "US", "points": -6.8},
    {"bin": "label", "label": "CA", "points": 6.6},
    {"bin": "unseen", "points": 0.2},
]


class Clock:
    """The time, as the test says."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def at(text: str) -> datetime:
    """An instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class World:
    """One project with one model, and a worker that leads."""

    connection: Connection
    clock: Clock
    lease: Lease
    channels: tuple[str, ...] = ("slack",)
    ends: dict[int, int] = field(default_factory=lambda: {0: 0})
    project: str = "shop"
    model: str = "churn"
    calendar: Calendar = field(default_factory=lambda: Calendar.of(ZONE))

    def __post_init__(self) -> None:
        self.evaluator = self.new_evaluator()

    def new_evaluator(self) -> Evaluator:
        """As a worker that takes over would make it."""
        place = Place("production", "https://guard.example/ml")
        return Evaluator(self.clock, place, self.channels, self.end_offsets, TOPIC)

    @classmethod
    async def begin(cls, connection: Connection) -> World:
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
        assert lease is not None
        world = cls(connection, Clock(at("2025-03-03T17:00:00")), lease)
        await connection.execute("insert into ml_guard.project (project_id) values ($1)", world.project)
        await connection.execute(
            "insert into ml_guard.project_zone (project_id, effective_from, zone) values ($1, '-infinity', $2)",
            world.project,
            ZONE,
        )
        await connection.execute(
            "insert into ml_guard.model (project_id, model_id, endpoint) values ($1, $2, 'predict')",
            world.project,
            world.model,
        )
        await connection.execute(
            'insert into ml_guard.stream_fence (topic, "partition", next_offset) values ($1, 0, 0)', TOPIC
        )
        return world

    async def end_offsets(self) -> Mapping[int, int]:
        return dict(self.ends)

    async def policy(self, name: str, **values: Any) -> None:
        """Set a policy."""
        values.setdefault("condition", name)
        await put_policy(self.connection, Policy(name, **values), "a test")

    async def baseline(self, feature: str, *, n: int, missing: int) -> None:
        """What the feature had in the baseline."""
        await self.connection.execute(
            """insert into ml_guard.baseline (project_id, model_id, endpoint, version, day_starts, days, window_start,
                   window_end, events) values ($1, $2, 'predict', 1, '{}', '{}', now(), now(), 1000)""",
            self.project,
            self.model,
        )
        await self.connection.execute(
            """insert into ml_guard.baseline_feature (project_id, model_id, endpoint, version, feature, kind, n, missing,
                   shares, share_errors, warning, drift)
               values ($1, $2, 'predict', 1, $3, 'categorical', $4, $5, '{1}', '{0}', 0.1, 0.25)""",
            self.project,
            self.model,
            feature,
            n,
            missing,
        )

    async def result(
        self,
        day: date,
        verdicts: Mapping[str, str] | None = None,
        *,
        revision: int = 1,
        missing: Mapping[str, float] | None = None,
        **metric: Any,
    ) -> None:
        """Write a day's result; every feature in `verdicts` that is in drift has a PSI of 0.3."""
        found = self.calendar.days_on(day)[0]
        key = (self.project, self.model, "predict", found.start)
        shared = (found.day, found.end, found.zone, revision, "final" if revision else "provisional")
        values = {"requests": 1000, "features_scored": 12, "baseline_version": 1, **metric}
        await self.connection.execute(
            "delete from ml_guard.feature_day where day_start = $1 and project_id = $2",
            found.start,
            self.project,
        )
        rates = missing or {}
        for feature, verdict in ((verdicts or {}) | dict.fromkeys(rates, "ok")).items():
            await self.connection.execute(
                """insert into ml_guard.feature_day (project_id, model_id, endpoint, day_start, day, day_end, zone,
                       revision, status, feature, kind, n, missing, missing_rate, exact, verdict, psi, psi_expected,
                       q_value, baseline_version, bins)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'categorical', 990, 10, $13, true, $11, 0.3,
                       0.005, 1e-30, 1, $12::text::jsonb)""",
                *key,
                *shared,
                feature,
                verdict,
                json.dumps(BINS),
                rates.get(feature, 0.01),
            )
        columns = ", ".join(values)
        numbers = ", ".join(f"${n}" for n in range(10, 10 + len(values)))
        await self.connection.execute(
            f"""insert into ml_guard.metric_day (project_id, model_id, endpoint, day_start, day, day_end, zone, revision,
                    status, {columns}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, {numbers})
                on conflict (project_id, model_id, endpoint, day_start) do update set revision = excluded.revision,
                    status = excluded.status, change_id = excluded.change_id,
                    {", ".join(f"{name} = excluded.{name}" for name in values)}""",
            *key,
            *shared,
            *values.values(),
        )

    async def closes(self, day: date, verdicts: Mapping[str, str] | None = None, **more: Any) -> None:
        """The day ends and closes, and its result is looked at."""
        self.clock.now = max(self.clock.now, self.calendar.days_on(day)[0].end + timedelta(seconds=61))
        await self.result(day, verdicts, **more)
        await self.evaluate()

    async def evaluate(self) -> None:
        """Until every result has been looked at."""
        while await self.evaluator.step(self.connection, self.lease):
            pass

    async def time_goes_to(self, now: datetime) -> None:
        """Time passes; what only time decides is judged, up to `now`."""
        self.clock.now = now - TIMED_EVERY
        await self.evaluate()
        self.clock.now = now
        await self.evaluate()

    async def requests(self, begin: datetime, end: datetime, a_minute: int) -> None:
        """So many requests in every minute of a span."""
        await self.connection.execute(
            """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
               select $1, $2, 'predict', m, 0, $5
                 from generate_series($3::timestamptz, $4::timestamptz - interval '1 minute', interval '1 minute') m
               on conflict do nothing""",
            self.project,
            self.model,
            begin,
            end,
            a_minute,
        )

    async def alerts(self) -> list[dict[str, Any]]:
        """All alerts, the oldest first."""
        rows = await self.connection.fetch("select * from ml_guard.alert order by opened_at, policy")
        return [dict(row) | {"details": json.loads(row["details"])} for row in rows]

    async def subjects(self) -> list[str]:
        """The first lines of all messages, in order."""
        rows = await self.connection.fetch("select subject from ml_guard.alert_delivery order by number")
        return [row["subject"] for row in rows]

    async def texts(self) -> list[str]:
        """The texts of all messages, in order."""
        rows = await self.connection.fetch("select message from ml_guard.alert_delivery order by number")
        return [json.loads(row["message"])["text"] for row in rows]

    def courier(self, channels: Mapping[str, Any]) -> Courier:
        """Sends the outbox of this world."""
        return Courier(channels, self.clock, chance=lambda: 1.0)

    async def send(self, courier: Courier) -> None:
        """One step of it."""
        await courier.step(self.connection, self.lease)


def days_from(first: str, count: int) -> Sequence[date]:
    """Dates in a row."""
    return [date.fromisoformat(first) + timedelta(days=n) for n in range(count)]
