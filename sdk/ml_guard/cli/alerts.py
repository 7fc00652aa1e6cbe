"""`ml-guard alerts`: what is wrong, who has it in hand, and what is alerted on?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ml_guard.cli import alert_tables as tables
from ml_guard.cli.connection import client
from ml_guard.cli.options import Limit, Model, Project
from ml_guard.cli.output import AsJson, emit

group = typer.Typer(no_args_is_help=True, help="Look at alerts, take them on, and set what is alerted on.")

Id = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, as `alerts list` shows it.")]
Condition = Annotated[
    str,
    typer.Argument(
        help="drift, prediction, latency, silence, missing_values, feature_set, type_change, ledger, expected_by or cost."
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Its name; by default the condition.")]
OfProject = Annotated[str, typer.Option("--project", help="The project; * for all.")]
OfModel = Annotated[str, typer.Option("--model", help="The model; * for all.")]
OfEndpoint = Annotated[str, typer.Option("--endpoint", help="The endpoint; * for all.")]
OfFeature = Annotated[str, typer.Option("--feature", help="The feature; * for all.")]
Threshold = Annotated[float | None, typer.Option("--threshold", help="As docs/alerts.md has it.")]
Days = Annotated[int | None, typer.Option("--days", help="Closed days in a row; of costs, days before.")]
Minutes = Annotated[int | None, typer.Option("--minutes", help="Minutes of silence.")]
Percentile = Annotated[float | None, typer.Option("--percentile", help="0.5, 0.9, 0.95 or 0.99.")]
By = Annotated[str | None, typer.Option("--by", help="Local time by which events are expected, HH:MM.")]
Rise = Annotated[
    float | None, typer.Option("--rise", help="Per cent above the mean of the days before, of costs.")
]
OpenDay = Annotated[bool, typer.Option("--open-day", help="Let the open day alert as well.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="alerts")


@group.command("list")
def list_(
    context: typer.Context,
    project: Project = None,
    model: Model = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only open, acknowledged or resolved ones.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List alerts, the newest first."""
    with client(context) as api:
        rows = api.alerts.list(project_id=project, model_id=model, state=state, limit=limit)
    emit(rows, as_json, lambda: tables.alerts(rows))


@group.command()
def show(context: typer.Context, alert: Id, as_json: AsJson = False) -> None:
    """Show one alert with its numbers."""
    with client(context) as api:
        row = api.alerts.show(alert)
    emit(row, as_json, lambda: tables.alert(row))


@group.command()
def ack(context: typer.Context, alert: Id, as_json: AsJson = False) -> None:
    """Take an alert on: it is not reminded of any more."""
    with client(context) as api:
        row = api.alerts.acknowledge(alert)
    emit(row, as_json, lambda: tables.alert(row))


@group.command()
def mute(
    context: typer.Context,
    alert: Id,
    minutes: Annotated[int, typer.Option("--minutes", min=0, help="For how long; 0: write again.")] = 480,
    as_json: AsJson = False,
) -> None:
    """Have no messages about an alert for a while."""
    with client(context) as api:
        row = api.alerts.mute(alert, minutes=minutes)
    emit(row, as_json, lambda: tables.alert(row))


@group.command()
def deliveries(context: typer.Context, alert: Id, as_json: AsJson = False) -> None:
    """Show an alert's messages: where they went, and what went wrong."""
    with client(context) as api:
        rows = api.alerts.deliveries(alert)
    emit(rows, as_json, lambda: tables.deliveries(rows))


@group.command()
def policies(context: typer.Context, project: Project = None, as_json: AsJson = False) -> None:
    """List what is alerted on: what is set, and the defaults that are not replaced."""
    with client(context) as api:
        rows = api.alert_policies.list(project_id=project)
    emit(rows, as_json, lambda: tables.policies(rows))


@group.command("set")
def set_(
    context: typer.Context,
    condition: Condition,
    name: Name = None,
    project: OfProject = "*",
    model: OfModel = "*",
    endpoint: OfEndpoint = "*",
    feature: OfFeature = "*",
    threshold: Threshold = None,
    days: Days = None,
    minutes: Minutes = None,
    percentile: Percentile = None,
    by: By = None,
    rise: Rise = None,
    open_day: OpenDay = False,
    severity: Annotated[str | None, typer.Option("--severity", help="info, warning or critical.")] = None,
    cooldown: Annotated[
        int | None, typer.Option("--cooldown", help="Minutes until an open alert is reminded of.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel", help="Where its messages go; give it once for each. By default everywhere."
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Look for nothing here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a policy, in place of what was set under its name and scope."""
    with client(context) as api:
        row = api.alert_policies.set(
            **_policy(condition, name, project, model, endpoint, feature, threshold, days, minutes, percentile, by,
                      rise, open_day),
            severity=severity,
            cooldown_minutes=cooldown,
            channels=channel or None,
            enabled=False if off else None,
        )  # fmt: skip
    emit(row, as_json, lambda: tables.policies([row]))


@group.command()
def unset(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The policy's name.")],
    project: OfProject = "*",
    model: OfModel = "*",
    endpoint: OfEndpoint = "*",
    feature: OfFeature = "*",
    as_json: AsJson = False,
) -> None:
    """Forget a policy: back to the wider one, or the default."""
    with client(context) as api:
        api.alert_policies.delete(
            name, project_id=project, model_id=model, endpoint=endpoint, feature=feature
        )
    emit({"unset": name}, as_json, lambda: f"Unset {name}.")


@group.command("try")
def try_(
    context: typer.Context,
    condition: Condition,
    past_days: Annotated[
        int, typer.Option("--past-days", min=1, max=90, help="Over how many of the last days.")
    ] = 30,
    project: OfProject = "*",
    model: OfModel = "*",
    endpoint: OfEndpoint = "*",
    feature: OfFeature = "*",
    threshold: Threshold = None,
    days: Days = None,
    minutes: Minutes = None,
    percentile: Percentile = None,
    by: By = None,
    rise: Rise = None,
    as_json: AsJson = False,
) -> None:
    """Try a policy over the stored past before it is set."""
    with client(context) as api:
        answer = api.alert_policies.try_out(
            **_policy(condition, None, project, model, endpoint, feature, threshold, days, minutes, percentile, by,
                      rise, False),
            past_days=past_days,
        )  # fmt: skip
    emit(answer, as_json, lambda: tables.tried(answer))


def _policy(
    condition: str,
    name: str | None,
    project: str,
    model: str,
    endpoint: str,
    feature: str,
    threshold: float | None,
    days: int | None,
    minutes: int | None,
    percentile: float | None,
    by: str | None,
    rise: float | None,
    open_day: bool,
) -> dict[str, Any]:
    return {
        "condition": condition,
        "name": name,
        "project_id": project,
        "model_id": model,
        "endpoint": endpoint,
        "feature": feature,
        "threshold": threshold,
        "days": days,
        "minutes": minutes,
        "percentile": percentile,
        "local_time": by,
        "rise_percent": rise,
        "open_day": open_day or None,
    }
