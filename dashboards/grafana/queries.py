"""How do the boards ask? Pieces of SQL that several panels share; all of it reads what docs/sql.md documents."""

from __future__ import annotations

from dashboards.grafana.parts import Annotation

STEP_S = """case when $__interval_ms <= 600000 then 60 * ceil($__interval_ms / 60000.0)
                 else 3600 * ceil($__interval_ms / 3600000.0) end"""
"""A chart's step: whole minutes, from ten minutes on whole hours, which the aggregates answer."""

ORIGIN = "timestamptz '2000-01-01 00:00:00+00'"
SERIES = 20
"""Lines that a person can still tell apart; the rest is left out, the least telling first."""

MODEL = "project_id = '$project' and model_id = '$model' and endpoint = '$endpoint'"
DAY = f"{MODEL} and day::text = '$day'"
FEATURE = f"{MODEL} and feature = '$feature'"
PROJECTS = "project_id in ($project)"
MEETS = "day_end > $__timeFrom() and day_start <= $__timeTo()"
"""Days of which the range holds a part, so that the open day is there however short the range."""

PROJECT_NAMES = "select distinct project_id from ml_guard.models order by project_id"


def open_alerts(where: str) -> str:
    """The alerts that are open, the most severe first."""
    return f"""select severity, headline, worst_feature as feature, moved, project_id as project, model_id as model,
       endpoint, policy, since, found_at as "last found", acknowledged_by as "acknowledged by", muted_until as "muted until"
from ml_guard.alerts
where state <> 'resolved' and {where}
order by array_position(array['critical', 'warning', 'info'], severity), since"""


def alert_spans(where: str) -> Annotation:
    """From the opening of an alert to its end."""
    return Annotation(
        "Alerts",
        "red",
        f"""select opened_at as time, coalesce(resolved_at, now()) as timeend, headline as text,
       severity || ',' || policy as tags
from ml_guard.alerts
where opened_at <= $__timeTo() and coalesce(resolved_at, 'infinity') >= $__timeFrom() and {where}
order by opened_at""",
    )


def days_closed(where: str) -> Annotation:
    """When days closed or were restated."""
    return Annotation(
        "Closed days",
        "blue",
        f"""select closed_at as time, project_id || ': ' || day || ' closed as revision ' || revision
       || case when complete then '' else ', incomplete' end as text,
       case when revision > 1 then 'restated' else 'closed' end as tags
from ml_guard.days
where $__timeFilter(closed_at) and {where}
order by closed_at""",
    )
