"""`ml-guard feature`: how is a feature binned and judged from the next baseline on?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from ml_guard.cli import model_tables as tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import Model
from ml_guard.cli.output import AsJson, emit, say

group = typer.Typer(
    no_args_is_help=True, help="Set bins, thresholds and kind of features, or have them ignored."
)

ProjectId = Annotated[str, typer.Option("--project", help="The project's id.")]
OfModel = Annotated[str, typer.Option("--model", help="The model; * for all.")]
OfEndpoint = Annotated[str, typer.Option("--endpoint", help="The endpoint; * for all.")]
OfFeature = Annotated[str, typer.Option("--feature", help="The feature; * for all.")]
Kind = Annotated[
    str | None,
    typer.Option("--kind", help="numeric, categorical or boolean, where a feature's values come in several."),
]
Bins = Annotated[int | None, typer.Option("--bins", help="How many bins a baseline gets, 2 to 50.")]
Warning_ = Annotated[float | None, typer.Option("--warning", help="The PSI from which it is a warning.")]
Drift = Annotated[float | None, typer.Option("--drift", help="The PSI from which it is drift.")]
Ignored = Annotated[
    bool | None, typer.Option("--ignore/--no-ignore", help="Whether it is left unscored.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="feature")


@group.command("list")
def list_(
    context: typer.Context, project_id: ProjectId, model: Model = None, as_json: AsJson = False
) -> None:
    """List what is set; with --model what can concern that model."""
    with client(context) as api:
        rows = api.feature_settings.list(project_id=project_id, model_id=model)
    emit(rows, as_json, lambda: tables.feature_settings(rows))


@group.command("set")
def set_(
    context: typer.Context,
    project_id: ProjectId,
    model: OfModel = "*",
    endpoint: OfEndpoint = "*",
    feature: OfFeature = "*",
    kind: Kind = None,
    bins: Bins = None,
    warning: Warning_ = None,
    drift: Drift = None,
    ignored: Ignored = None,
    as_json: AsJson = False,
) -> None:
    """Set how features are scored, in place of what was set for the same ones.

    The most specific setting wins, field by field. It is frozen into the baseline that is captured next.
    """
    if all(value is None for value in (kind, bins, warning, drift, ignored)):
        raise CommandError("nothing is set", "Give --kind, --bins, --warning, --drift or --ignore.")
    with client(context) as api:
        row = api.feature_settings.set(
            project_id=project_id, model_id=model, endpoint=endpoint, feature=feature,
            kind=kind, bins=bins, warning=warning, drift=drift, ignored=ignored,
        )  # fmt: skip
    emit(row, as_json, lambda: tables.feature_settings([row]))
    say("It holds from the next `ml-guard baseline capture` on.")


@group.command()
def unset(
    context: typer.Context,
    project_id: ProjectId,
    model: OfModel = "*",
    endpoint: OfEndpoint = "*",
    feature: OfFeature = "*",
    as_json: AsJson = False,
) -> None:
    """Go back to the wider setting, or the default."""
    with client(context) as api:
        api.feature_settings.delete(project_id=project_id, model_id=model, endpoint=endpoint, feature=feature)
    where = {"project_id": project_id, "model_id": model, "endpoint": endpoint, "feature": feature}
    emit({"unset": where}, as_json, lambda: escape(f"Unset {feature} of {project_id} {model}/{endpoint}."))
