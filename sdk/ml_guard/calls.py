"""Which request is each method of the client? One function an endpoint; the sync and the async client share them.

A function takes what the user gives and returns the `Call`: method, path, parameters, body and the type of the
answer. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_guard import shapes as s
from ml_guard.call import PAGE, Call, Dates, Instant, Listing, day_text, days_of, given, instant_text, segment
from ml_guard.hour_shapes import SameHours


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
    project_id: str,
    *,
    zone: str,
    name: str | None = None,
    dedupe_by_event_id: bool | None = None,
    labels: str | None = None,
) -> Call[s.Project]:
    """Create a project whose days are those of `zone`, an IANA name such as America/Toronto.

    With `labels="hashed"` its category labels are stored as keyed hashes only.
    """
    body = given(
        project_id=project_id, zone=zone, name=name, dedupe_by_event_id=dedupe_by_event_id, labels=labels
    )
    return Call("POST", "/projects", s.Project, body=body)


def get_project(project_id: str) -> Call[s.Project]:
    """One project."""
    return Call("GET", f"/projects/{segment(project_id)}", s.Project)


def update_project(
    project_id: str,
    *,
    name: str | None = None,
    zone: str | None = None,
    dedupe_by_event_id: bool | None = None,
    labels: str | None = None,
) -> Call[s.Project]:
    """Change a project; a new zone holds from its next midnight on, `labels="hashed"` for good."""
    body = given(name=name, zone=zone, dedupe_by_event_id=dedupe_by_event_id, labels=labels)
    return Call("PATCH", f"/projects/{segment(project_id)}", s.Project, body=body)


def delete_project(project_id: str, *, confirm: str) -> Call[s.DeletionReceipt]:
    """Remove every row of a project and its keys, for good; `confirm` is its id once more."""
    return Call("DELETE", f"/projects/{segment(project_id)}", s.DeletionReceipt, {"confirm": confirm})


def purge_day(
    *,
    project_id: str,
    model_id: str,
    day: Dates,
    endpoint: str | None = None,
    forget_batches: bool | None = None,
) -> Call[s.PurgeReceipt]:
    """Remove state and results of a model's local day, for good; events of it that arrive afterwards count.

    With `forget_batches` the project's batches of the last 7 days may be sent again under the same `batch_id`.
    """
    which = given(project_id=project_id, model_id=model_id, endpoint=endpoint, forget_batches=forget_batches)
    return Call("POST", "/purge", s.PurgeReceipt, body={**which, "day": day_text(day)})


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
    return Call("DELETE", f"/keys/{segment(key_id)}", None)


def list_models(
    *, project_id: str | None = None, model_id: str | None = None, limit: int | None = None
) -> Listing[s.Model]:
    """Models and endpoints that events were seen of."""
    return Listing("/models", s.Model, given(project_id=project_id, model_id=model_id), limit)


def list_feature_settings(
    *, project_id: str, model_id: str | None = None, limit: int | None = None
) -> Listing[s.FeatureSetting]:
    """How features are scored where it is not the default."""
    query = given(project_id=project_id, model_id=model_id)
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
    what = given(kind=kind, bins=bins, warning=warning, drift=drift, ignored=ignored)
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
    query = days_of(project_id, model_id, endpoint, day, from_, to, order)
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
    query = days_of(project_id, model_id, endpoint, day, from_, to, order) | given(feature=feature, kind=kind)
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
    query = days_of(project_id, model_id, endpoint, day, from_, to, order)
    query |= given(feature=feature, kind=kind, verdict=verdicts, bins=bins)
    return Listing("/drift/daily", s.DriftDay, query, limit)


def drift_same_hours(
    *, project_id: str, model_id: str, endpoint: str | None = None, days: int | None = None
) -> Call[SameHours]:
    """The open day up to its last full hour, against the same hours of up to `days` (7) days before."""
    query = given(project_id=project_id, model_id=model_id, endpoint=endpoint, days=days)
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
    query = given(
        project_id=project_id,
        model_id=model_id,
        endpoint=endpoint,
        to=instant_text(to),
        step_s=step_s,
        percentiles=shares,
    )
    return Call("GET", "/latency", s.LatencyRow, {**query, "from": instant_text(from_)}, in_items=True)


def ledger_days(
    *,
    project_id: str | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    limit: int | None = None,
) -> Listing[s.LedgerDay]:
    """The ledger's rows by project and day."""
    return Listing("/ledger", s.LedgerDay, days_of(project_id, None, None, None, from_, to, None), limit)


def client_counts(
    *,
    project_id: str | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    outcome: str | None = None,
    limit: int | None = None,
) -> Listing[s.ClientDay]:
    """What clients sent, retried and lost (`outcome` `dropped`, by reason), by project and UTC day."""
    query = days_of(project_id, None, None, None, from_, to, None) | given(outcome=outcome)
    return Listing("/client-counts", s.ClientDay, query, limit)


def ledger(
    *, project_id: str | None = None, from_: Dates | None = None, to: Dates | None = None
) -> Call[s.Ledger]:
    """Both ledgers, and whether they balance; the days are the first page, `ledger_days` has all."""
    return Call(
        "GET", "/ledger", s.Ledger, days_of(project_id, None, None, None, from_, to, None) | {"limit": PAGE}
    )


def list_dead_letters(
    *,
    project_id: str | None = None,
    reason: str | None = None,
    replayed: bool | None = None,
    limit: int | None = None,
) -> Listing[s.DeadLetter]:
    """What was refused, the newest first."""
    query = given(project_id=project_id, reason=reason, replayed=replayed)
    return Listing("/dead-letters", s.DeadLetter, query, limit)


def show_dead_letter(id: str) -> Call[s.DeadLetterDetail]:  # noqa: A002 - the API's own name
    """One of them with its original bytes."""
    return Call("GET", f"/dead-letters/{segment(id)}", s.DeadLetterDetail)


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
    body = given(ids=which, project_id=project_id, reason=reason, limit=limit, again=again)
    return Call("POST", "/dead-letters/replay", s.Replayed, body=body)
