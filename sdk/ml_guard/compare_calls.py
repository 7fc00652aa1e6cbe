"""Which requests compare days with other days, or with another baseline? As in `calls`."""

from __future__ import annotations

from ml_guard.call import Call, Dates, day_text, given
from ml_guard.compare_shapes import Comparison, Rescored
from ml_guard.shapes import BaselinesByWeekday


def compare(
    *,
    a_project_id: str,
    a_model_id: str,
    b_project_id: str,
    b_model_id: str,
    a_endpoint: str = "predict",
    b_endpoint: str = "predict",
    a_from: Dates | None = None,
    a_to: Dates | None = None,
    b_from: Dates | None = None,
    b_to: Dates | None = None,
) -> Call[Comparison]:
    """How selection b differs from selection a, with the statistics of drift; without days the newest 7 with events."""
    names = {
        "a_project_id": a_project_id,
        "a_model_id": a_model_id,
        "a_endpoint": a_endpoint,
        "b_project_id": b_project_id,
        "b_model_id": b_model_id,
        "b_endpoint": b_endpoint,
    }
    days = given(a_from=a_from, a_to=a_to, b_from=b_from, b_to=b_to)
    return Call("GET", "/compare", Comparison, names | {name: day_text(day) for name, day in days.items()})


def drift_against(
    version: int, *, project_id: str, model_id: str, from_: Dates, to: Dates, endpoint: str = "predict"
) -> Call[Rescored]:
    """What past days would say against that version of the baseline; nothing is stored."""
    query = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint, "version": int(version)}
    return Call("GET", "/drift/against", Rescored, query | {"from": day_text(from_), "to": day_text(to)})


def copy_baseline(
    *,
    project_id: str,
    model_id: str,
    from_model_id: str,
    endpoint: str = "predict",
    from_endpoint: str = "predict",
    version: int | None = None,
    note: str | None = None,
) -> Call[BaselinesByWeekday]:
    """Give a model the active baselines (or one version) of another one of its project, active at once."""
    body = {
        "project_id": project_id,
        "model_id": model_id,
        "endpoint": endpoint,
        "from_model_id": from_model_id,
        "from_endpoint": from_endpoint,
    }
    return Call("POST", "/baselines/copy", BaselinesByWeekday, body=body | given(version=version, note=note))
