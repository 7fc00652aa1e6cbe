"""Which request is each method of the client? One function an endpoint; the sync and the async client share them.

A function takes what the user gives and returns the `Call`: method, path, parameters, body and the type of the
answer. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from ml_guard import shapes as s
from ml_guard.errors import ConfigError
from ml_guard.hour_shapes import SameHours

T = TypeVar("T")

PREFIX = "/api/v1"
PAGE = 1000
"""Rows asked for at once: the most that the API gives."""


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One request, and the type that its answer decodes to."""

    method: str
    path: str
    answer: Any
    query: Mapping[str, Any] = {}
    body: Any = None
    also_ok: tuple[int, ...] = ()
    in_items: bool = False
    """Whether the answer is the list in the field `items`, of values of that type."""
    stream: Callable[[], Iterator[bytes]] | None = None
    """Instead of a body: makes lines of JSON, packed with gzip, as they are sent."""


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A request whose answer comes in pages; `limit` rows at most, None: all."""

    path: str
    item: Any
    query: Mapping[str, Any]
    limit: int | None = None


class Page(msgspec.Struct, frozen=True):
    """One page of a listing."""

    items: list[msgspec.Raw]
    next_cursor: str | None = None


Instant = datetime | str
Dates = date | str


def health() -> Call[s.Health]:
    """Whether the API answers at all."""
    return Call("GET", "/health", s.Health)


def ready() -> Call[s.Ready]:
    """Whether events flow: broker, database, lag. Not being ready is an answer, not an error."""
    return Call("GET", "/ready", s.Ready, also_ok=(503,))


def list_projects(*, limit: int | None = None) -> Listing[s.Project]:
    """The projects that the key may see."""
    return Listing("/projects", s.Project, {}, limit)


def create_project(
    project_id: str, *, zone: str, name: str | None = None, dedupe_by_event_id: bool | None = None
) -> Call[s.Project]:
    """Create a project whose days are those of `zone`, an IANA name such as America/Toronto."""
    body = _given(project_id=project_id, zone=zone, name=name, dedupe_by_event_id=dedupe_by_event_id)
    return Call("POST", "/projects", s.Project, body=body)


def get_project(project_id: str) -> Call[s.Project]:
    """One project."""
    return Call("GET", f"/projects/{_segment(project_id)}", s.Project)


def update_project(
    project_id: str,
    *,
    name: str | None = None,
    zone: str | None = None,
    dedupe_by_event_id: bool | None = None,
) -> Call[s.Project]:
    """Change a project; a new zone holds from its next midnight on."""
    body = _given(name=name, zone=zone, dedupe_by_event_id=dedupe_by_event_id)
    return Call("PATCH", f"/projects/{_segment(project_id)}", s.Project, body=body)


def delete_project(project_id: str, *, confirm: str) -> Call[s.DeletionReceipt]:
    """Remove every row of a project and its keys, for good; `confirm` is its id once more."""
    return Call("DELETE", f"/projects/{_segment(project_id)}", s.DeletionReceipt, {"confirm": confirm})


def list_keys(*, limit: int | None = None) -> Listing[s.Key]:
    """All keys, without their secrets."""
    return Listing("/keys", s.Key, {}, limit)


def create_key(
    name: str, *, scopes: Iterable[str], project_ids: Iterable[str] | None = None
) -> Call[s.NewKey]:
    """Make a key with scopes of `ingest`, `read`, `operate`, `admin`; its secret is in this answer only."""
    projects = None if project_ids is None else list(project_ids)
    return Call(
        "POST", "/keys", s.NewKey, body={"name": name, "scopes": list(scopes), "project_ids": projects}
    )


def current_key() -> Call[s.Key]:
    """The key that this client uses."""
    return Call("GET", "/keys/current", s.Key)


def revoke_key(key_id: str) -> Call[None]:
    """Make a key worthless, at once."""
    return Call("DELETE", f"/keys/{_segment(key_id)}", None)


def list_models(
    *, project_id: str | None = None, model_id: str | None = None, limit: int | None = None
) -> Listing[s.Model]:
    """Models and endpoints that events were seen of."""
    return Listing("/models", s.Model, _given(project_id=project_id, model_id=model_id), limit)


def capture_baseline(
    *,
    project_id: str,
    model_id: str,
    days: Iterable[Dates],
    endpoint: str = "predict",
    note: str | None = None,
) -> Call[s.BaselineDetail]:
    """Capture closed days as the next baseline version, active at once."""
    return Call(
        "POST", "/baselines", s.BaselineDetail, body=_window(project_id, model_id, endpoint, days, note)
    )


def preview_baseline(
    *,
    project_id: str,
    model_id: str,
    days: Iterable[Dates],
    endpoint: str = "predict",
    note: str | None = None,
) -> Call[s.BaselineDetail]:
    """What `capture_baseline` would make; nothing is stored."""
    body = _window(project_id, model_id, endpoint, days, note)
    return Call("POST", "/baselines/preview", s.BaselineDetail, body=body)


def capture_baselines_by_weekday(
    *,
    project_id: str,
    model_id: str,
    days: Iterable[Dates],
    endpoint: str = "predict",
    weekdays: Iterable[Iterable[int]] | None = None,
    note: str | None = None,
) -> Call[s.BaselinesByWeekday]:
    """Capture a version for each group of `weekdays` (Monday 1 to Sunday 7; by default each apart) from its own days."""
    body = _window(project_id, model_id, endpoint, days, note) | _groups(weekdays)
    return Call("POST", "/baselines/by-weekday", s.BaselinesByWeekday, body=body)


def preview_baselines_by_weekday(
    *,
    project_id: str,
    model_id: str,
    days: Iterable[Dates],
    endpoint: str = "predict",
    weekdays: Iterable[Iterable[int]] | None = None,
    note: str | None = None,
) -> Call[s.BaselinesByWeekday]:
    """What `capture_baselines_by_weekday` would make; nothing is stored."""
    body = _window(project_id, model_id, endpoint, days, note) | _groups(weekdays)
    return Call("POST", "/baselines/by-weekday/preview", s.BaselinesByWeekday, body=body)


def list_baselines(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    limit: int | None = None,
) -> Listing[s.Baseline]:
    """Baseline versions, the newest first."""
    query = _given(project_id=project_id, model_id=model_id, endpoint=endpoint)
    return Listing("/baselines", s.Baseline, query, limit)


def show_baseline(
    version: int, *, project_id: str, model_id: str, endpoint: str = "predict"
) -> Call[s.BaselineDetail]:
    """One version with its features and bins."""
    query = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    return Call("GET", f"/baselines/{int(version)}", s.BaselineDetail, query)


def activate_baseline(
    version: int, *, project_id: str, model_id: str, endpoint: str = "predict"
) -> Call[s.Baseline]:
    """Compare days of this version's weekdays with it from now on."""
    body = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    return Call("POST", f"/baselines/{int(version)}/activate", s.Baseline, body=body)


def list_feature_settings(
    *, project_id: str, model_id: str | None = None, limit: int | None = None
) -> Listing[s.FeatureSetting]:
    """How features are scored where it is not the default."""
    query = _given(project_id=project_id, model_id=model_id)
    return Listing("/feature-settings", s.FeatureSetting, query, limit)


def set_feature(
    *,
    project_id: str,
    model_id: str = "*",
    endpoint: str = "*",
    feature: str = "*",
    kind: str | None = None,
    bins: int | None = None,
    warning: float | None = None,
    drift: float | None = None,
    ignored: bool | None = None,
) -> Call[s.FeatureSetting]:
    """Set kind, bins, thresholds or `ignored` from the next baseline on; `*` means all."""
    where = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint, "feature": feature}
    what = _given(kind=kind, bins=bins, warning=warning, drift=drift, ignored=ignored)
    return Call("PUT", "/feature-settings", s.FeatureSetting, body={**where, **what})


def delete_feature_setting(
    *, project_id: str, model_id: str = "*", endpoint: str = "*", feature: str = "*"
) -> Call[None]:
    """Back to the wider setting, or the default."""
    query = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint, "feature": feature}
    return Call("DELETE", "/feature-settings", None, query)


def metrics_daily(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    order: str | None = None,
    limit: int | None = None,
) -> Listing[s.MetricDay]:
    """A row a day and endpoint; `day`, or `from_` to `to`, both included; `order` `desc` (default) or `asc`."""
    query = _days(project_id, model_id, endpoint, day, from_, to, order)
    return Listing("/metrics/daily", s.MetricDay, query, limit)


def features_daily(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    feature: str | None = None,
    kind: str | None = None,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    order: str | None = None,
    limit: int | None = None,
) -> Listing[s.FeatureDay]:
    """Statistics, a row a day, endpoint and feature."""
    query = _days(project_id, model_id, endpoint, day, from_, to, order) | _given(feature=feature, kind=kind)
    return Listing("/features/daily", s.FeatureDay, query, limit)


def drift_daily(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    feature: str | None = None,
    kind: str | None = None,
    verdict: str | Iterable[str] | None = None,
    bins: bool | None = None,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    order: str | None = None,
    limit: int | None = None,
) -> Listing[s.DriftDay]:
    """Drift, a row a day, endpoint and feature; `verdict` one or several of them."""
    verdicts = [verdict] if isinstance(verdict, str) else None if verdict is None else list(verdict)
    query = _days(project_id, model_id, endpoint, day, from_, to, order)
    query |= _given(feature=feature, kind=kind, verdict=verdicts, bins=bins)
    return Listing("/drift/daily", s.DriftDay, query, limit)


def drift_same_hours(
    *, project_id: str, model_id: str, endpoint: str | None = None, days: int | None = None
) -> Call[SameHours]:
    """The open day up to its last full hour, against the same hours of up to `days` (7) days before."""
    query = _given(project_id=project_id, model_id=model_id, endpoint=endpoint, days=days)
    return Call("GET", "/drift/same-hours", SameHours, query)


def latency(
    *,
    project_id: str,
    model_id: str,
    from_: Instant,
    to: Instant,
    endpoint: str | None = None,
    step_s: int | None = None,
    percentiles: Iterable[float] | None = None,
) -> Call[list[s.LatencyRow]]:
    """Latency in [from_, to), a row every `step_s` seconds, or one row."""
    shares = None if percentiles is None else [repr(float(p)) for p in percentiles]
    query = _given(
        project_id=project_id,
        model_id=model_id,
        endpoint=endpoint,
        to=_instant(to),
        step_s=step_s,
        percentiles=shares,
    )
    return Call("GET", "/latency", s.LatencyRow, {**query, "from": _instant(from_)}, in_items=True)


def ledger_days(
    *,
    project_id: str | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    limit: int | None = None,
) -> Listing[s.LedgerDay]:
    """The ledger's rows by project and day."""
    return Listing("/ledger", s.LedgerDay, _days(project_id, None, None, None, from_, to, None), limit)


def client_counts(
    *,
    project_id: str | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    outcome: str | None = None,
    limit: int | None = None,
) -> Listing[s.ClientDay]:
    """What clients sent, retried and lost (`outcome` `dropped`, by reason), by project and UTC day."""
    query = _days(project_id, None, None, None, from_, to, None) | _given(outcome=outcome)
    return Listing("/client-counts", s.ClientDay, query, limit)


def ledger(
    *, project_id: str | None = None, from_: Dates | None = None, to: Dates | None = None
) -> Call[s.Ledger]:
    """Both ledgers, and whether they balance; the days are the first page, `ledger_days` has all."""
    return Call(
        "GET", "/ledger", s.Ledger, _days(project_id, None, None, None, from_, to, None) | {"limit": PAGE}
    )


def list_dead_letters(
    *,
    project_id: str | None = None,
    reason: str | None = None,
    replayed: bool | None = None,
    limit: int | None = None,
) -> Listing[s.DeadLetter]:
    """What was refused, the newest first."""
    query = _given(project_id=project_id, reason=reason, replayed=replayed)
    return Listing("/dead-letters", s.DeadLetter, query, limit)


def show_dead_letter(id: str) -> Call[s.DeadLetterDetail]:  # noqa: A002 - the API's own name
    """One of them with its original bytes."""
    return Call("GET", f"/dead-letters/{_segment(id)}", s.DeadLetterDetail)


def replay_dead_letters(
    *,
    ids: Iterable[str] | None = None,
    project_id: str | None = None,
    reason: str | None = None,
    limit: int | None = None,
    again: bool | None = None,
) -> Call[s.Replayed]:
    """Send dead letters again, by their ids, or by reason; at most 1,000 at once (`remaining` says how many are left)."""
    which = None if ids is None else list(ids)
    body = _given(ids=which, project_id=project_id, reason=reason, limit=limit, again=again)
    return Call("POST", "/dead-letters/replay", s.Replayed, body=body)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _days(
    project_id: str | None,
    model_id: str | None,
    endpoint: str | None,
    day: Dates | None,
    from_: Dates | None,
    to: Dates | None,
    order: str | None,
) -> dict[str, Any]:
    names = _given(project_id=project_id, model_id=model_id, endpoint=endpoint, order=order)
    days = {"day": day, "from": from_, "to": to}
    return names | {name: _day(value) for name, value in days.items() if value is not None}


def _window(
    project_id: str, model_id: str, endpoint: str, days: Iterable[Dates], note: str | None
) -> dict[str, Any]:
    body = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    return {**body, "days": [_day(day) for day in days], **_given(note=note)}


def _groups(weekdays: Iterable[Iterable[int]] | None) -> dict[str, Any]:
    return {} if weekdays is None else {"weekdays": [list(group) for group in weekdays]}


def _day(value: Dates) -> str:
    if isinstance(value, datetime):
        raise ConfigError("a day is a date or text such as 2025-01-31, not a datetime")
    return value if isinstance(value, str) else value.isoformat()


def _instant(value: Instant) -> str:
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ConfigError("an instant needs a time zone: use datetime.now(timezone.utc) and the like")
    return value.isoformat()


def _segment(text: str) -> str:
    return quote(text, safe="")
