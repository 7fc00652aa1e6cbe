"""`ml-guard replay`: what would real traffic look like?"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import RenderableType

from ml_guard.cli import tables
from ml_guard.cli.connection import address, client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import maybe_day
from ml_guard.cli.output import AsJson, emit
from ml_guard.cli.reporting import Reporter

Seed = Annotated[int, typer.Option(help="The root of all chance: the same seed gives the same events.")]
Events = Annotated[int, typer.Option(min=1_000, help="About how many events to send.")]
Anchor = Annotated[
    str | None,
    typer.Option("--anchor", help="The last day, YYYY-MM-DD; by default each project's today, still open."),
]
Suffix = Annotated[str, typer.Option(help="Appended to the project ids, so that runs do not meet.")]
Rate = Annotated[
    float | None, typer.Option(min=1, help="Events per second at most; by default as fast as it goes.")
]
Kafka = Annotated[str | None, typer.Option("--kafka", help="Kafka's bootstrap servers (or ML_GUARD_KAFKA).")]
EventsTopic = Annotated[
    str, typer.Option("--topic", envvar="ML_GUARD_TOPIC", help="The topic that the workers read.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(replay)


def replay(
    context: typer.Context,
    seed: Seed = 1,
    events: Events = 120_000,
    anchor: Anchor = None,
    suffix: Suffix = "",
    rate: Rate = None,
    capture: Annotated[
        bool,
        typer.Option(
            "--capture", help="After the baseline days wait until they close, and capture the baselines."
        ),
    ] = False,
    kafka: Kafka = None,
    topic: EventsTopic = "ml_guard.events",
    as_json: AsJson = False,
) -> None:
    """Send a synthetic topic: three projects in three zones, six endpoints, twelve days with planted drift.

    Single events and batches, duplicates, late events, missing values and poison. Straight into Kafka, from where
    the workers take it; the projects are created first.
    """
    needs_replay_extra()
    from ml_guard.replay.session import Session
    from ml_guard.replay.topic import make_topic

    made = make_topic(seed, anchor=maybe_day(anchor, "--anchor"), events=events, suffix=suffix)
    where = address(context, kafka)
    with client(context) as api:
        session = Session(api, made, where.kafka, events_topic=topic, rate=rate, reporter=Reporter())
        created = session.create_projects()
        sent = {"baseline": session.send("baseline")}
        if capture:
            session.wait_folded()
            session.wait_settled()
            session.capture()
            session.wait_counting()
        sent["scored"] = session.send("scored")
        sent["late"] = session.send("late")
    names = sorted(session.truth.zones)
    data = {"projects": names, "projects_created": created, "events": sent, "seed": seed}
    emit(data, as_json, lambda: _told(sent, session.truth.zones))


def _told(sent: Mapping[str, int], zones: Mapping[str, str]) -> RenderableType:
    made = tables.table("phase", ">events")
    for phase, events in sent.items():
        made.add_row(phase, f"{events:,}")
    made.caption = "projects: " + ", ".join(f"{name} ({zone})" for name, zone in zones.items())
    return made


def needs_replay_extra() -> None:
    """Refuse with a sentence if what the synthetic topic needs is not installed."""
    for package in ("aiokafka", "numpy", "scipy"):
        if importlib.util.find_spec(package) is None:
            raise CommandError(f"{package} is not installed", "pip install 'ml-guard[cli,replay]'")
