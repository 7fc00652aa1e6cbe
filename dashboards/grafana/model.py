"""The model board: is this model all right, and if not, which bin of which feature moved?"""

from __future__ import annotations

from dashboards.grafana.drift import ROWS as DRIFT_ROWS
from dashboards.grafana.kinds import chart, number, table
from dashboards.grafana.links import chosen
from dashboards.grafana.parts import Board, Row, Variable, levels
from dashboards.grafana.queries import (
    DAY,
    MEETS,
    MODEL,
    ORIGIN,
    PROJECT_NAMES,
    STEP_S,
    alert_spans,
    days_closed,
    open_alerts,
)

_MODELS = "from ml_guard.models where project_id = '$project'"
_VARIABLES = [
    Variable("project", "Project", PROJECT_NAMES),
    Variable("model", "Model", f"select distinct model_id {_MODELS} order by model_id"),
    Variable("endpoint", "Endpoint", f"select endpoint {_MODELS} and model_id = '$model' order by endpoint"),
    Variable(
        "feature",
        "Feature",
        f"""select feature from ml_guard.daily_drift
where {MODEL} and {MEETS}
group by feature order by max(psi) desc nulls last, feature""",
    ),
    Variable(
        "day",
        "Day",
        f"select distinct day::text from ml_guard.daily_metrics where {MODEL} and {MEETS} order by 1 desc",
    ),
]

_LATENCY = f"""with chart as (
    select step, date_bin(step, $__timeFrom()::timestamptz, {ORIGIN}) as first,
           date_bin(step, $__timeTo()::timestamptz, {ORIGIN}) + step as last
    from (select make_interval(secs => {STEP_S}) as step) s
)
select s.step_start as time, s.latency_ms[1] as p50, s.latency_ms[2] as p95, s.latency_ms[3] as p99
from chart, ml_guard.latency_series('$project', '$model', '$endpoint', first, last, step, array[0.5, 0.95, 0.99]) s
order by time"""

_REQUESTS = f"""with chart as (
    select step, date_bin(step, $__timeFrom()::timestamptz, {ORIGIN}) as first,
           date_bin(step, $__timeTo()::timestamptz, {ORIGIN}) + step as last
    from (select make_interval(secs => {STEP_S}) as step) s
)
select s.step_start as time,
       s.requests / greatest(1, extract(epoch from least(s.step_end, now()) - s.step_start))::double precision as requests
from chart, ml_guard.latency_series('$project', '$model', '$endpoint', first, last, step, array[0.5]) s
order by time"""


def _of_day(column: str) -> str:
    return f"select {column} from ml_guard.daily_metrics where {DAY} order by day_start desc limit 1"


BOARD = Board(
    name="model",
    title="ML Guard: model",
    description="One endpoint of a model: traffic, latency, predictions, and which bin of which feature moved.",
    page=f"model{chosen('project', 'model', 'endpoint')}",
    since="now-14d",
    refresh="1m",
    variables=_VARIABLES,
    annotations=[alert_spans(MODEL), days_closed("project_id = '$project'")],
    rows=[
        Row(
            4,
            [
                number("Requests", "Events of the chosen day, by their own timestamps.", _of_day("requests"), 4),
                number(
                    "95th percentile of latency",
                    "Of the chosen day, within 1.33 % of rank.",
                    _of_day("latency_p95_ms"),
                    5,
                    "ms",
                ),
                number(
                    "Mean prediction",
                    "Of the chosen day, true as 1: the rate of a classifier of two classes. Empty where predictions are "
                    "text.",
                    _of_day("prediction_mean"),
                    5,
                    "none",
                    decimals=3,
                ),
                number(
                    "Features in drift",
                    "On the chosen day. While it is open this may be the clock's doing: at night there are only the "
                    "night's users.",
                    _of_day("features_drift"),
                    5,
                    thresholds=levels(red=1),
                ),
                number(
                    "Features in warning",
                    "On the chosen day.",
                    _of_day("features_warning"),
                    5,
                    thresholds=levels(orange=1),
                ),
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Requests a second",
                    "By minutes, over longer ranges by hours. The last point is of a step that still runs.",
                    _REQUESTS,
                    12,
                    "reqps",
                    bars=True,
                ),
                chart(
                    "Latency",
                    "Percentiles by minutes, over longer ranges by hours, each within 2 % of the exact one.",
                    _LATENCY,
                    12,
                    "ms",
                    min=0,
                ),
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Latency by day",
                    "Percentiles of the local day, within 1.33 % of rank.",
                    f"""select day_start as time, latency_p50_ms as p50, latency_p90_ms as p90, latency_p95_ms as p95,
       latency_p99_ms as p99
from ml_guard.daily_metrics where {MODEL} and $__timeFilter(day_start) order by time""",
                    12,
                    "ms",
                    min=0,
                ),
                chart(
                    "Prediction by day",
                    "The mean of the predictions, true as 1, and of their probabilities, by local day.",
                    f"""select day_start as time, prediction_mean as prediction, proba_mean as probability
from ml_guard.daily_metrics where {MODEL} and $__timeFilter(day_start) order by time""",
                    12,
                    "none",
                    decimals=3,
                ),
            ],
        ),
        *DRIFT_ROWS,
        Row(
            7,
            [
                table(
                    "Open alerts",
                    "What is alarmed now about this model, the most severe first.",
                    open_alerts(MODEL),
                    12,
                    {"since": {"unit": "dateTimeFromNow"}, "last found": {"unit": "dateTimeFromNow"},
                     "muted until": {"unit": "dateTimeAsIso"}},
                ),
                table(
                    "Baselines",
                    "Every version, the newest first: a day is compared with the one that was active when it began.",
                    f"""select version, active, events, features, cardinality(days) as days, window_start as "from",
       window_end as "to", captured_at as captured, captured_by as by, note
from ml_guard.baselines where {MODEL} order by version desc""",
                    12,
                    {
                        "active": {"unit": "bool_yes_no"},
                        "events": {"unit": "short"},
                        **{name: {"unit": "dateTimeAsIso"} for name in ("from", "to", "captured")},
                    },
                ),
            ],
            "Alerts and baselines",
        ),
    ],
)  # fmt: skip
