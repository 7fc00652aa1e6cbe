"""The health board: do events flow, is everything accounted for, do days close?"""

from __future__ import annotations

from dashboards.grafana.kinds import CELL_COLOUR, chart, number, table
from dashboards.grafana.parts import BLUE, GREEN, ORANGE, RED, Board, Row, Variable, levels
from dashboards.grafana.queries import ORIGIN, PROJECT_NAMES, PROJECTS, STEP_S, alert_spans, days_closed

QUIET_S, SILENT_S = 15, 30
"""Seconds without a heartbeat: from the first the API is not ready, from the second `stream_status` says silent."""
OVERDUE = "interval '15 minutes'"
"""Long after the grace of a minute, so that a day which closes as it should never shows."""

_STATES = [
    {
        "type": "value",
        "options": {
            "running": {"text": "✓ running", "color": GREEN, "index": 0},
            "silent": {"text": "… silent", "color": ORANGE, "index": 1},
            "stopped": {"text": "▲ stopped", "color": RED, "index": 2},
        },
    }
]
_RED_FROM_1 = levels(red=1)

_TRAFFIC = f"""with traffic as (
    select minute as at, project_id, requests from ml_guard.traffic_minute_utc
    where $__interval_ms <= 600000 and $__timeFilter(minute) and {PROJECTS}
    union all
    select hour as at, project_id, requests from ml_guard.traffic_hour_utc
    where $__interval_ms > 600000 and $__timeFilter(hour) and {PROJECTS}
), stepped as (
    select date_bin(make_interval(secs => {STEP_S}), at, {ORIGIN}) as time, project_id as metric,
           sum(requests) as requests
    from traffic group by 1, 2
)
select time, metric,
       requests / greatest(1, least({STEP_S}, extract(epoch from now() - time)))::double precision as value
from stepped
order by time"""

_PARTITIONS = """select s."partition", s.state, s.heartbeat_age_s as heartbeat, s.owner, s.stopped_reason as "stopped by",
       s.next_offset as offset, l.records_decoded as decoded, l.records_dead as dead, l.records_duplicate as duplicate,
       l.records_empty as empty, l.records_lost as lost, l.difference, s.catalog_current as "knows all settings", s.topic
from ml_guard.stream_status s join ml_guard.ledger_partitions l using (topic, "partition")
order by array_position(array['stopped', 'silent', 'running'], s.state), s.topic, s."partition\""""

BOARD = Board(
    name="health",
    title="ML Guard: pipeline health",
    description="Whether events flow, how far the workers are, whether everything is accounted for and days close.",
    page="health",
    since="now-24h",
    refresh="30s",
    variables=[Variable("project", "Project", PROJECT_NAMES, many=True)],
    annotations=[days_closed(PROJECTS), alert_spans(PROJECTS)],
    rows=[
        Row(
            4,
            [
                number(
                    "Partitions at a standstill",
                    "Partitions that have stopped, or of whose worker nothing was heard for 30 seconds.",
                    "select count(*) filter (where state <> 'running') as partitions from ml_guard.stream_status",
                    4,
                    thresholds=_RED_FROM_1,
                ),
                number(
                    "Oldest heartbeat",
                    "The partition whose worker has been silent for longest. From 15 seconds on the API is not ready.",
                    "select max(heartbeat_age_s) as age from ml_guard.stream_status",
                    4,
                    "s",
                    decimals=1,
                    thresholds=levels(orange=QUIET_S, red=SILENT_S),
                ),
                number(
                    "Records unaccounted for",
                    "Offsets that were passed and are neither decoded, dead, duplicate, lost nor empty. Anything but 0 is "
                    "a defect.",
                    "select coalesce(sum(abs(difference)), 0) as records from ml_guard.ledger_partitions",
                    4,
                    thresholds=_RED_FROM_1,
                ),
                number(
                    "Events unaccounted for",
                    "Events of every day of the chosen projects that were decoded and are neither in a sketch, a dead "
                    "letter, a duplicate nor deleted. Anything but 0 is a defect.",
                    f"select coalesce(sum(abs(difference)), 0) as events from ml_guard.ledger_days where {PROJECTS}",
                    4,
                    thresholds=_RED_FROM_1,
                ),
                number(
                    "Dead letters",
                    "Events in the range of time that could not be counted, of all projects and of none.",
                    "select count(*) as letters from ml_guard.dead_letters where $__timeFilter(appended_at)",
                    4,
                    thresholds=levels(orange=1),
                ),
                number(
                    "Days overdue",
                    "Days that ended more than a quarter of an hour ago and have not closed: a partition stands still, "
                    "or no worker runs.",
                    f"select count(*) as days from ml_guard.days where {PROJECTS} and status <> 'closed' "
                    f"and day_end < now() - {OVERDUE}",
                    4,
                    thresholds=_RED_FROM_1,
                ),
            ],
        ),
        Row(
            8,
            [
                table(
                    "Partitions",
                    "Who reads each, how far it is, and what became of the records that were passed.",
                    _PARTITIONS,
                    24,
                    {
                        "state": {"mappings": _STATES, "custom.cellOptions": CELL_COLOUR},
                        "heartbeat": {"unit": "s", "decimals": 1},
                        "knows all settings": {"unit": "bool_yes_no"},
                        **{
                            name: {"thresholds": _RED_FROM_1, "custom.cellOptions": CELL_COLOUR}
                            for name in ("lost", "difference")
                        },
                    },
                )
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Events a second by project",
                    "By the events' own timestamps, so a backfill fills the past. The last point is of a step that "
                    "still runs.",
                    _TRAFFIC,
                    12,
                    "cps",
                    bars=True,
                ),
                chart(
                    "Dead letters by reason",
                    "Events that could not be counted, by the time at which Kafka took them, of all projects and of none.",
                    f"""select date_bin(make_interval(secs => {STEP_S}), appended_at, {ORIGIN}) as time, reason as metric,
       count(*) as value
from ml_guard.dead_letters
where $__timeFilter(appended_at)
group by 1, 2
order by time""",
                    12,
                    bars=True,
                ),
            ],
        ),
        Row(
            8,
            [
                chart(
                    "Ledger of events by day",
                    "What became of the events that were decoded, by local date.",
                    f"""select day::timestamp at time zone 'UTC' as time, sum(merged) as counted,
       sum(duplicate) as duplicate, sum(dead) as dead, sum(deleted) as deleted, sum(abs(difference)) as "unaccounted for"
from ml_guard.ledger_days
where {PROJECTS} and $__timeFilter(day_start)
group by day
order by time""",
                    12,
                    bars=True,
                    colours={"counted": GREEN, "duplicate": BLUE, "dead": ORANGE, "unaccounted for": RED},
                ),
                chart(
                    "How long after its end a day closed",
                    "Counted from the day's first event where that came after its end, as in a backfill. Restated days "
                    "are left out.",
                    f"""select closed_at as time, project_id as metric,
       extract(epoch from closed_at - greatest(day_end, first_seen_at))::double precision as value
from ml_guard.days
where {PROJECTS} and status = 'closed' and revision = 1 and $__timeFilter(closed_at)
order by time""",
                    12,
                    "s",
                    min=0,
                ),
            ],
        ),
        Row(
            8,
            [
                table(
                    "Days that are not closed, or were restated lately",
                    "A closed day that late events restate is open again until it has its next revision.",
                    f"""select project_id as project, day::text as day, zone, status, revision, complete,
       array_to_string(blocked_partitions, ', ') as "held back by", day_end as ends, reopened_at as reopened,
       closed_at as closed
from ml_guard.days
where {PROJECTS} and (status <> 'closed' or reopened_at is not null or (revision > 1 and $__timeFilter(closed_at)))
order by day_end, project_id
limit 200""",
                    12,
                    {
                        "complete": {"unit": "bool_yes_no"},
                        **{name: {"unit": "dateTimeFromNow"} for name in ("ends", "reopened", "closed")},
                    },
                ),
                table(
                    "Newest dead letters",
                    "Why events could not be counted, of all projects and of none. `ml-guard dead-letters` replays them.",
                    """select appended_at as at, project_id as project, reason, detail, topic, "partition", "offset",
       event_index as event, replayed_at as replayed
from ml_guard.dead_letters
where $__timeFilter(appended_at)
order by appended_at desc
limit 200""",
                    12,
                    {name: {"unit": "dateTimeFromNow"} for name in ("at", "replayed")},
                ),
            ],
        ),
    ],
)
