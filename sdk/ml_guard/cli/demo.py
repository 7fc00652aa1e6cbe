"""`ml-guard demo`: does the whole of it work on this machine, seen with one's own eyes?

Everything that the demo sends travels in batch records with fixed ids and fixed contents, so it can run again on a
stack that has its data: what was counted is not counted twice, and the open day goes on from where it was.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import TYPE_CHECKING

import typer

from ml_guard.cli import demo_view
from ml_guard.cli.output import AsJson, emit, stdout
from ml_guard.cli.replay import Events, EventsTopic, Kafka, Seed, needs_replay_extra
from ml_guard.cli.reporting import Reporter
from ml_guard.cli.starting import running_stack
from ml_guard.client import MLGuardClient

if TYPE_CHECKING:
    from ml_guard.replay.topic import Topic

SHOWN_DAYS = 3
DEDUPLICATED_DAYS = 5
"""Batches of days older than this are not sent again: the product forgets their ids after seven."""
NOTE = "synthetic topic"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(demo)


def demo(
    context: typer.Context,
    seed: Seed = 1,
    events: Events = 120_000,
    kafka: Kafka = None,
    topic: EventsTopic = "ml_guard.events",
    as_json: AsJson = False,
) -> None:
    """Start the stack, replay a synthetic topic, and print metrics, drift and where to look.

    Three projects in three zones: a week of clean days, closed and captured as baselines, then days with planted
    drift, today's open one among them. It uses a stack that runs already; run again, it goes on where it was.
    """
    needs_replay_extra()
    from ml_guard.replay.session import Session
    from ml_guard.replay.topic import make_topic

    begin = time.monotonic()
    where = running_stack(context, kafka)
    reporter = Reporter()
    with MLGuardClient(base_url=where.url, api_key=where.api_key) as api:
        made = make_topic(seed, origin=origins(api), events=events, batched=True)
        session = Session(api, made, where.kafka, events_topic=topic, reporter=reporter)
        session.create_projects()
        for project_id in sorted(session.truth.zones):  # what is planted today is told today
            api.alert_policies.set(condition="drift", project_id=project_id, open_day=True)
        before = demo_view.duplicates(api, sorted(session.truth.zones))
        session.send("baseline", session.present(), label="Sent a week of clean days")
        session.wait_folded()
        session.wait_settled()
        captured = session.capture()
        if captured:
            reporter.note(f"Captured {len(captured)} baselines")
        session.wait_counting()
        old = too_old(made)
        session.send("scored", old, label="Sent the days with planted drift, today's open one too")
        session.wait_folded()
        session.wait_settled()
        session.send("late", old, label="Sent the late events of a closed day")
        session.wait_folded()
        session.wait_settled(restated=True)
        result = demo_view.read(api, made, SHOWN_DAYS, before)
    seconds = time.monotonic() - begin
    if as_json:
        emit(result.data(), True, str)
    else:
        stdout().print(demo_view.draw(result, where, seconds))


def origins(api: MLGuardClient) -> dict[str, date]:
    """Per project, the day that a former run took as its origin, told by the baseline that it captured."""
    from ml_guard.replay.catalogue import PROJECTS
    from ml_guard.replay.topic import FIRST_SCORED

    present = {project.project_id for project in api.projects.list()}
    found = {}
    for project in PROJECTS:
        rows = api.baselines.list(project_id=project.slug) if project.slug in present else []
        for row in rows:
            if row.active and row.note == NOTE:
                found[project.slug] = row.days[-1] + timedelta(days=1 - FIRST_SCORED)
    return found


def too_old(topic: Topic) -> frozenset[tuple[str, date]]:
    """Days that a former run has sent and that are not sent again."""
    return frozenset(
        (project.slug, day)
        for project in topic.projects
        for day in topic.scored_days(project)
        if topic.today(project) - day > timedelta(days=DEDUPLICATED_DAYS)
    )
