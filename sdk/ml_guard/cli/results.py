"""`ml-guard metrics`, `features`, `drift`: what did the days come to?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from ml_guard.cli import hour_tables, tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import NEGATIVE, CommandError
from ml_guard.cli.gate import check
from ml_guard.cli.options import Endpoint, Feature, From, Limit, Model, OneDay, Project, To, maybe_day
from ml_guard.cli.output import AsJson, emit
from ml_guard.hour_shapes import HourlyFeature
from ml_guard.shapes import DriftDay

SEVERITIES = ("warning", "drift")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(metrics)
    app.command()(features)
    group = typer.Typer(invoke_without_command=True)
    group.callback()(drift)
    group.command()(check)
    app.add_typer(group, name="drift")


def metrics(
    context: typer.Context,
    project: Project = None,
    model: Model = None,
    endpoint: Endpoint = None,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show requests, latency and predictions, a row a day."""
    with client(context) as api:
        rows = api.metrics_daily(
            project_id=project,
            model_id=model,
            endpoint=endpoint,
            day=maybe_day(day, "--day"),
            from_=maybe_day(from_, "--from"),
            to=maybe_day(to, "--to"),
            limit=limit,
        )
    emit(rows, as_json, lambda: tables.metrics(rows))


def features(
    context: typer.Context,
    project: Project = None,
    model: Model = None,
    endpoint: Endpoint = None,
    feature: Feature = None,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the statistics of features, a row a day and feature."""
    with client(context) as api:
        rows = api.features_daily(
            project_id=project,
            model_id=model,
            endpoint=endpoint,
            feature=feature,
            day=maybe_day(day, "--day"),
            from_=maybe_day(from_, "--from"),
            to=maybe_day(to, "--to"),
            limit=limit,
        )
    emit(rows, as_json, lambda: tables.features(rows))


def drift(
    context: typer.Context,
    project: Project = None,
    model: Model = None,
    endpoint: Endpoint = None,
    feature: Feature = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option("--verdict", help="Only rows with this verdict; give it once for each."),
    ] = None,
    bins: Annotated[
        bool, typer.Option("--bins", help="Show every bin's share and part of the PSI too.")
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", help="End with exit code 1 if a row is `warning` (or worse), or `drift`."),
    ] = None,
    same_hours: Annotated[
        bool,
        typer.Option(
            "--same-hours",
            help="Today up to its last full hour against the same hours of the days before, for --project and --model.",
        ),
    ] = False,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show how far features have moved from the baseline, a row a day and feature.

    PSI is the population stability index, E0 the PSI that chance alone would give, q the test's corrected p-value.
    A row is `warning` or `drift` only if it is large and significant.
    """
    if context.invoked_subcommand is not None:
        return
    if fail_on is not None and fail_on not in SEVERITIES:
        raise CommandError(
            f"--fail-on {fail_on} is not a verdict to fail on", f"Give one of {', '.join(SEVERITIES)}."
        )
    if same_hours:
        if project is None or model is None:
            raise CommandError("--same-hours is of one model", "Name it with --project and --model.")
        if any((feature, verdict, day, from_, to)):
            raise CommandError(
                "--same-hours shows all features of the open day",
                "Leave --feature, --verdict and the days out.",
            )
        with client(context) as api:
            answer = api.drift_same_hours(project_id=project, model_id=model, endpoint=endpoint)
        emit(answer, as_json, lambda: hour_tables.same_hours(answer, bins))
        _fail(answer.features, fail_on)
        return
    with client(context) as api:
        rows = api.drift_daily(
            project_id=project,
            model_id=model,
            endpoint=endpoint,
            feature=feature,
            verdict=verdict or None,
            bins=True,
            day=maybe_day(day, "--day"),
            from_=maybe_day(from_, "--from"),
            to=maybe_day(to, "--to"),
            limit=limit,
        )
    emit(rows, as_json, lambda: _drift(rows, bins))
    _fail(rows, fail_on)


def _fail(rows: Sequence[DriftDay | HourlyFeature], fail_on: str | None) -> None:
    if fail_on is not None and any(row.verdict in SEVERITIES[SEVERITIES.index(fail_on) :] for row in rows):
        raise typer.Exit(NEGATIVE)


def _drift(rows: Sequence[DriftDay], bins: bool) -> RenderableType:
    listing = tables.drift(rows)
    return Group(listing, *(tables.bins_of_day(row) for row in rows if row.bins)) if bins else listing
