"""What do the answers about alerts and their policies hold? As in `shapes`: one frozen type a row."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from ml_guard.shapes import Shape


class AlertFeature(Shape, frozen=True, kw_only=True):
    """A feature that an alert names: what was measured of it, and from which value on it counts."""

    feature: str
    kind: str
    measure: str
    value: float | None = None
    bound: float | None = None
    expected: float | None = None
    q_value: float | None = None
    n: int = 0
    days: int = 1
    moved: str = ""


class Alert(Shape, frozen=True, kw_only=True):
    """An episode, from the first finding to its end; an empty `model_id` is about the whole project."""

    alert_id: str
    project_id: str
    model_id: str
    endpoint: str
    policy: str
    condition: str
    severity: str
    channels: list[str] | None = None
    state: str
    headline: str
    since: datetime
    zone: str
    day: date | None = None
    day_start: datetime | None = None
    revision: int | None = None
    provisional: bool = False
    n: int = 0
    baseline_version: int | None = None
    value: float | None = None
    bound: float | None = None
    note: str = ""
    features: list[AlertFeature] = msgspec.field(default_factory=list)
    opened_at: datetime
    found_at: datetime | None = None
    notified_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    muted_until: datetime | None = None
    muted_by: str | None = None
    news: str = "opened"
    change_id: int | None = None


class AlertDelivery(Shape, frozen=True, kw_only=True):
    """A message about alerts on its way to one channel."""

    message_id: str
    channel: str
    project_id: str
    model_id: str
    endpoint: str
    alert_ids: list[str]
    subject: str
    status: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    last_attempt_at: datetime | None = None
    last_error: str | None = None
    sent_at: datetime | None = None


class AlertPolicy(Shape, frozen=True, kw_only=True):
    """What is looked for, where, and who is told; `is_default`: nobody has set it."""

    name: str
    condition: str
    project_id: str
    model_id: str
    endpoint: str
    feature: str
    threshold: float | None = None
    days: int = 1
    minutes: int = 30
    percentile: float = 0.95
    local_time: str | None = None
    rise_percent: float | None = None
    open_day: bool = False
    severity: str
    cooldown_minutes: int
    channels: list[str] | None = None
    enabled: bool = True
    is_default: bool = False
    updated_at: datetime | None = None
    updated_by: str | None = None


class WouldHaveFired(Shape, frozen=True, kw_only=True):
    """An alert that a policy would have made; `until` None: to this day."""

    project_id: str
    model_id: str
    endpoint: str
    since: datetime
    opened_at: datetime
    until: datetime | None = None
    headline: str


class NotJudged(Shape, frozen=True, kw_only=True):
    """A model of which a policy cannot say anything now, and why."""

    project_id: str
    model_id: str
    endpoint: str
    reason: str


class TryOut(Shape, frozen=True, kw_only=True):
    """What the stored past says of a policy."""

    summary: str
    fired: int
    past_days: int
    models: int
    models_left_out: int = 0
    alerts: list[WouldHaveFired] = msgspec.field(default_factory=list)
    not_judged: list[NotJudged] = msgspec.field(default_factory=list)
