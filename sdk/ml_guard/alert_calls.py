"""Which request is each method for alerts and their policies? One function an endpoint, as in `calls`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from ml_guard import alert_shapes as s
from ml_guard.call import Call, Listing


def list_alerts(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    policy: str | None = None,
    state: str | None = None,
    limit: int | None = None,
) -> Listing[s.Alert]:
    """Alerts, the newest first; `state` open (acknowledged ones too), acknowledged or resolved."""
    query = _given(project_id=project_id, model_id=model_id, policy=policy, state=state)
    return Listing("/alerts", s.Alert, query, limit)


def show_alert(id: str) -> Call[s.Alert]:  # noqa: A002 - the API's own name
    """One of them."""
    return Call("GET", f"/alerts/{quote(id, safe='')}", s.Alert)


def acknowledge_alert(id: str) -> Call[s.Alert]:  # noqa: A002
    """Take it on: no more reminders."""
    return Call("POST", f"/alerts/{quote(id, safe='')}/acknowledge", s.Alert)


def mute_alert(id: str, *, minutes: int) -> Call[s.Alert]:  # noqa: A002
    """Have no messages about it for so many minutes; 0: write again."""
    return Call("POST", f"/alerts/{quote(id, safe='')}/mute", s.Alert, body={"minutes": minutes})


def alert_deliveries(id: str) -> Call[list[s.AlertDelivery]]:  # noqa: A002
    """Its messages: where they went, how often that was tried, and what went wrong."""
    return Call("GET", f"/alerts/{quote(id, safe='')}/deliveries", s.AlertDelivery, in_items=True)


def list_alert_policies(*, project_id: str | None = None, limit: int | None = None) -> Listing[s.AlertPolicy]:
    """The policies that are set, and the defaults that none of them replaces."""
    return Listing("/alert-policies", s.AlertPolicy, _given(project_id=project_id), limit)


def set_alert_policy(
    *,
    condition: str,
    name: str | None = None,
    project_id: str = "*",
    model_id: str = "*",
    endpoint: str = "*",
    feature: str = "*",
    threshold: float | None = None,
    days: int | None = None,
    minutes: int | None = None,
    percentile: float | None = None,
    local_time: str | None = None,
    rise_percent: float | None = None,
    open_day: bool | None = None,
    severity: str | None = None,
    cooldown_minutes: int | None = None,
    channels: Iterable[str] | None = None,
    enabled: bool | None = None,
) -> Call[s.AlertPolicy]:
    """Look for a condition in a scope; what is left out is the condition's default, `*` means all."""
    body = _policy(
        condition=condition,
        name=name,
        project_id=project_id,
        model_id=model_id,
        endpoint=endpoint,
        feature=feature,
        threshold=threshold,
        days=days,
        minutes=minutes,
        percentile=percentile,
        local_time=local_time,
        rise_percent=rise_percent,
        open_day=open_day,
        severity=severity,
        cooldown_minutes=cooldown_minutes,
        channels=channels,
        enabled=enabled,
    )
    return Call("PUT", "/alert-policies", s.AlertPolicy, body=body)


def delete_alert_policy(
    name: str, *, project_id: str = "*", model_id: str = "*", endpoint: str = "*", feature: str = "*"
) -> Call[None]:
    """Back to the wider policy, or the default."""
    query = {
        "name": name,
        "project_id": project_id,
        "model_id": model_id,
        "endpoint": endpoint,
        "feature": feature,
    }
    return Call("DELETE", "/alert-policies", None, query)


def try_alert_policy(
    *,
    condition: str,
    past_days: int | None = None,
    name: str | None = None,
    project_id: str = "*",
    model_id: str = "*",
    endpoint: str = "*",
    feature: str = "*",
    threshold: float | None = None,
    days: int | None = None,
    minutes: int | None = None,
    percentile: float | None = None,
    local_time: str | None = None,
    rise_percent: float | None = None,
    open_day: bool | None = None,
    severity: str | None = None,
    cooldown_minutes: int | None = None,
    channels: Iterable[str] | None = None,
    enabled: bool | None = None,
) -> Call[s.TryOut]:
    """How often a policy would have fired over the stored past; nothing is stored."""
    body = _policy(
        condition=condition,
        past_days=past_days,
        name=name,
        project_id=project_id,
        model_id=model_id,
        endpoint=endpoint,
        feature=feature,
        threshold=threshold,
        days=days,
        minutes=minutes,
        percentile=percentile,
        local_time=local_time,
        rise_percent=rise_percent,
        open_day=open_day,
        severity=severity,
        cooldown_minutes=cooldown_minutes,
        channels=channels,
        enabled=enabled,
    )
    return Call("POST", "/alert-policies/try", s.TryOut, body=body)


def _policy(*, channels: Iterable[str] | None, **values: Any) -> dict[str, Any]:
    return _given(**values, channels=None if channels is None else list(channels))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
