"""The fleet board: which model of which project is in trouble?"""

from __future__ import annotations

from dashboards.grafana.kinds import CELL_COLOUR, chart, number, table
from dashboards.grafana.links import board_of_model, links, of_row, outside
from dashboards.grafana.parts import ORANGE, PSI_LEVELS, RED, Board, Row, Variable, levels
from dashboards.grafana.queries import (
    MEETS,
    ORIGIN,
    PROJECT_NAMES,
    PROJECTS,
    SERIES,
    STEP_S,
    alert_spans,
    days_closed,
    open_alerts,
)

_NAME = "project_id || ' ' || model_id || '/' || endpoint"
_KEY = "project_id, model_id, endpoint"

_LATEST = f"""select distinct on ({_KEY}) *
    from ml_guard.daily_metrics
    where {PROJECTS} and {MEETS}"""

_CLOSED = f"{_LATEST} and status = 'final'\n    order by {_KEY}, day_start desc"

_MODELS = f"""with latest as (
    {_LATEST}
    order by {_KEY}, day_start desc
), closed as (
    {_CLOSED}
), alarmed as (
    select {_KEY}, count(*) as alerts from ml_guard.alerts where state <> 'resolved' group by {_KEY}
)
select project_id as project, model_id as model, endpoint, l.day::text as day, l.status as "day is",
       l.requests, l.latency_p50_ms as p50, l.latency_p95_ms as p95, l.latency_p99_ms as p99,
       l.prediction_mean as "mean prediction",
       c.features_drift as "drift, last closed day", c.features_warning as "warning, last closed day",
       l.features_drift as "drift, this day", l.worst_feature as feature, l.worst_psi as psi,
       coalesce(a.alerts, 0) as alerts, l.last_event_at as "last event"
from latest l left join closed c using ({_KEY}) left join alarmed a using ({_KEY})
order by coalesce(c.features_drift, 0) desc, l.features_drift desc, coalesce(c.features_warning, 0) desc,
         l.worst_psi desc nulls last, project_id, model_id, endpoint"""

_TRAFFIC = f"""with traffic as (
    select minute as at, {_NAME} as metric, requests from ml_guard.traffic_minute_utc
    where $__interval_ms <= 600000 and $__timeFilter(minute) and {PROJECTS}
    union all
    select hour as at, {_NAME} as metric, requests from ml_guard.traffic_hour_utc
    where $__interval_ms > 600000 and $__timeFilter(hour) and {PROJECTS}
), stepped as (
    select date_bin(make_interval(secs => {STEP_S}), at, {ORIGIN}) as time, metric, sum(requests) as requests
    from traffic
    where metric in (select metric from traffic group by metric order by sum(requests) desc limit {SERIES})
    group by 1, 2
)
select time, metric,
       requests / greatest(1, least({STEP_S}, extract(epoch from now() - time)))::double precision as value
from stepped
order by time"""

_MODEL_LINKS = links(
    Board_of_this_model=board_of_model(of_row("project", "model", "endpoint", prefix="var-")),
    Open_in_ML_Guard=outside("model") + of_row("project", "model", "endpoint"),
)


def _by_day(column: str) -> str:
    """A column of daily_metrics for the models where it is highest."""
    return f"""select day_start as time, {_NAME} as metric, {column} as value
from ml_guard.daily_metrics
where {PROJECTS} and $__timeFilter(day_start) and {_NAME} in (
    select {_NAME} from ml_guard.daily_metrics
    where {PROJECTS} and $__timeFilter(day_start) and {column} is not null
    group by {_KEY} order by max({column}) desc limit {SERIES}
)
order by time"""


BOARD = Board(
    name="fleet",
    title="ML Guard: fleet",
    description="Every model of the chosen projects: which is in trouble, since when, and what is alarmed.",
    page="overview",
    since="now-14d",
    refresh="1m",
    variables=[Variable("project", "Project", PROJECT_NAMES, many=True)],
    annotations=[alert_spans(PROJECTS), days_closed(PROJECTS)],
    rows=[
        Row(
            4,
            [
                number(
                    "Models in drift",
                    "Models with a feature in drift on their last closed day. The open day is left out: at night it "
                    "holds only the night's users.",
                    f"select count(*) as models from ({_CLOSED}) c where features_drift > 0",
                    5,
                    thresholds=levels(red=1),
                ),
                number(
                    "Open alerts",
                    "Alerts that nobody and nothing has resolved yet.",
                    f"select count(*) as alerts from ml_guard.alerts where state <> 'resolved' and {PROJECTS}",
                    5,
                    thresholds=levels(orange=1),
                ),
                number(
                    "Requests",
                    "Events of the days that begin in the range of time, by their own timestamps.",
                    f"select coalesce(sum(requests), 0) as requests from ml_guard.daily_metrics where {PROJECTS} "
                    "and $__timeFilter(day_start)",
                    5,
                ),
                number(
                    "Events unaccounted for",
                    "Events of the days that begin in the range of time which were decoded and are neither in a "
                    "sketch, a dead letter, a duplicate nor deleted. Anything but 0 is a defect.",
                    f"select coalesce(sum(abs(difference)), 0) as events from ml_guard.ledger_days where {PROJECTS} "
                    "and $__timeFilter(day_start)",
                    5,
                    thresholds=levels(red=1),
                ),
                number(
                    "Age of the newest result",
                    "How long ago the last result of a day was written. It rises while no events come.",
                    f"select extract(epoch from now() - max(updated_at)) as age from ml_guard.daily_metrics "
                    f"where {PROJECTS} and {MEETS}",
                    4,
                    "s",
                ),
            ],
        ),
        Row(
            10,
            [
                table(
                    "Models, the worst first",
                    "The latest day of each model in the range of time, beside what its last closed day found. A click "
                    "on a model opens its board, or the page in ML Guard.",
                    _MODELS,
                    24,
                    {
                        "model": {"links": _MODEL_LINKS},
                        **{name: {"unit": "ms", "decimals": 1} for name in ("p50", "p95", "p99")},
                        "mean prediction": {"decimals": 3},
                        "psi": {"decimals": 3, "thresholds": PSI_LEVELS, "custom.cellOptions": CELL_COLOUR},
                        **{
                            name: {
                                "thresholds": levels(**{colour: 1}),
                                "custom.cellOptions": CELL_COLOUR,
                            }
                            for name, colour in (
                                ("drift, last closed day", "red"),
                                ("warning, last closed day", "orange"),
                                ("drift, this day", "orange"),
                                ("alerts", "orange"),
                            )
                        },
                        "last event": {"unit": "dateTimeFromNow"},
                    },
                )
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Worst PSI of each model by day",
                    "The highest PSI of a model's features, by local day; lines at the levels of warning and drift. A "
                    "high PSI of few events is no drift: the verdict needs a test that agrees.",
                    _by_day("worst_psi"),
                    12,
                    "none",
                    thresholds=PSI_LEVELS,
                    min=0,
                ),
                chart(
                    "Features in drift by day",
                    "Features of all chosen projects in drift and in warning, by local date.",
                    f"""select day::timestamp at time zone 'UTC' as time, sum(features_drift) as drift,
       sum(features_warning) as warning
from ml_guard.daily_metrics
where {PROJECTS} and $__timeFilter(day_start)
group by day
order by time""",
                    12,
                    bars=True,
                    colours={"drift": RED, "warning": ORANGE},
                ),
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Requests a second by model",
                    f"The {SERIES} busiest models of the range of time. The last point is of a step that still runs.",
                    _TRAFFIC,
                    12,
                    "reqps",
                    bars=True,
                ),
                chart(
                    "95th percentile of latency by model and day",
                    f"Of the {SERIES} slowest models, by local day, within 1.33 % of rank.",
                    _by_day("latency_p95_ms"),
                    12,
                    "ms",
                    min=0,
                ),
            ],
        ),
        Row(
            8,
            [
                table(
                    "What is alarmed",
                    "Open alerts, the most severe first. Acknowledge and mute them in ML Guard.",
                    open_alerts(PROJECTS),
                    24,
                    {
                        "headline": {"custom.width": 420},
                        "since": {"unit": "dateTimeFromNow"},
                        "last found": {"unit": "dateTimeFromNow"},
                        "muted until": {"unit": "dateTimeAsIso"},
                    },
                )
            ],
        ),
    ],
)
