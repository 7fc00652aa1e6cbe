"""Which requests capture, list and activate baselines? As in `calls`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml_guard import shapes as s
from ml_guard.call import Call, Dates, Listing, day_text, given


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
    query = given(project_id=project_id, model_id=model_id, endpoint=endpoint)
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


def _window(
    project_id: str, model_id: str, endpoint: str, days: Iterable[Dates], note: str | None
) -> dict[str, Any]:
    body = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    return {**body, "days": [day_text(day) for day in days], **given(note=note)}


def _groups(weekdays: Iterable[Iterable[int]] | None) -> dict[str, Any]:
    return {} if weekdays is None else {"weekdays": [list(group) for group in weekdays]}
