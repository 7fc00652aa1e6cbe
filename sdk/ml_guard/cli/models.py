"""`ml-guard models`, `latency`: which models are there, and how fast were they?"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from ml_guard.cli import model_tables as tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import Endpoint, Model, Project
from ml_guard.cli.output import AsJson, emit

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(models)
    app.command()(latency)


def models(
    context: typer.Context, project: Project = None, model: Model = None, as_json: AsJson = False
) -> None:
    """List models and their endpoints, with the newest event and the baseline of each."""
    with client(context) as api:
        rows = api.models(project_id=project, model_id=model)
    emit(rows, as_json, lambda: tables.models(rows))


def latency(
    context: typer.Context,
    project_id: Annotated[str, typer.Option("--project", help="The project's id.")],
    model_id: Annotated[str, typer.Option("--model", help="The model's id.")],
    endpoint: Endpoint = None,
    last: Annotated[str, typer.Option("--last", help="How far back, such as 90m, 24h or 7d.")] = "24h",
    from_: Annotated[
        str | None,
        typer.Option("--from", help="From this instant on, with its offset: 2025-01-31T08:00:00Z."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Up to this instant; now, if none is given.")] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="A row every so often, such as 5m or 1h.")
    ] = None,
    percentiles: Annotated[
        list[float] | None,
        typer.Option("--percentile", help="A share, such as 0.95; give it once for each."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show requests and latency percentiles between two instants, to the minute.

    Each percentile is within 2 % of the exact value, over any range.
    """
    until = datetime.now(timezone.utc) if to is None else instant(to, "--to")
    since = until - span(last, "--last") if from_ is None else instant(from_, "--from")
    if since >= until:
        raise CommandError(
            f"--from {since} is not before --to {until}", "Give the earlier instant as --from."
        )
    with client(context) as api:
        rows = api.latency(
            project_id=project_id,
            model_id=model_id,
            endpoint=endpoint,
            from_=since,
            to=until,
            step_s=None if step is None else round(span(step, "--step").total_seconds()),
            percentiles=percentiles or None,
        )
    emit(rows, as_json, lambda: tables.latency(rows))


def span(text: str, option: str) -> timedelta:
    """A length of time as an option gives it.

    >>> str(span("90m", "--last")), str(span("7d", "--last"))
    ('1:30:00', '7 days, 0:00:00')
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    if found is None:
        raise CommandError(f"{option} {text} is not a length of time", "Write it as 90m, 24h or 7d.")
    return int(found[1]) * UNITS[found[2]]


def instant(text: str, option: str) -> datetime:
    """An instant as an option gives it.

    >>> instant("2025-01-31T08:00:00Z", "--from").isoformat()
    '2025-01-31T08:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise CommandError(
            f"{option} {text} is not an instant", "Write it with its offset: 2025-01-31T08:00:00Z."
        )
    return found
