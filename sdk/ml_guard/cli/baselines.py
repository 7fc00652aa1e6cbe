"""`ml-guard baseline`: which days are the reference that others are compared with?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ml_guard import weekdays
from ml_guard.cli import reference_tables, tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import Endpoint, Model, Project, day
from ml_guard.cli.output import AsJson, emit, say
from ml_guard.errors import ConfigError
from ml_guard.shapes import Baseline, BaselinesByWeekday

group = typer.Typer(no_args_is_help=True, help="Capture closed days as the baseline of a model.")

ModelId = Annotated[str, typer.Option("--model", help="The model's id.")]
ProjectId = Annotated[str, typer.Option("--project", help="The project's id.")]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="The model's endpoint.")]
Days = Annotated[
    list[str] | None, typer.Option("--day", help="A day to take, YYYY-MM-DD; give it once for each.")
]
From = Annotated[str | None, typer.Option("--from", help="The first day to take, YYYY-MM-DD.")]
FromDayOrFile = Annotated[
    str | None,
    typer.Option("--from", help="The first day to take, YYYY-MM-DD; or a file: .csv, .parquet, .arrow."),
]
FILES = (".csv", ".parquet", ".arrow", ".feather")
To = Annotated[str | None, typer.Option("--to", help="The last day to take, YYYY-MM-DD.")]
By = Annotated[
    str,
    typer.Option(
        "--by",
        help="`all`: one baseline of all days; `weekday`: one for each weekday; `workday-weekend`: two; "
        "or groups of your own, such as mon-thu,fri,sat+sun.",
    ),
]
Note = Annotated[str | None, typer.Option(help="A note, kept with the version.")]
Versions = Annotated[
    list[int], typer.Argument(metavar="VERSION...", help="The version; several of different weekdays.")
]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="baseline")


@group.command()
def capture(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    endpoint: EndpointOption = "predict",
    days: Days = None,
    from_: FromDayOrFile = None,
    to: To = None,
    by: By = weekdays.ALL,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", help="A column of the file that no event has, such as the target."),
    ] = None,
    note: Note = None,
    seen_first: Annotated[
        bool, typer.Option("--preview", help="Show what it would make; nothing is stored.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Capture closed days, or a file such as the training data, as the next version, active at once.

    Its bins are frozen; from then on workers count against them, and days that begin later are scored by counters.
    With `--by`, each group of weekdays gets a version from its own days, and a day is compared with that of its weekday.

    `--from train.parquet` (or .csv, .arrow) takes the file's columns as features; its bins and shares are exact, and no
    event is counted. The model need not have had one. With `--by sat+sun` it stands for these days. Columns `y_pred`,
    `y_proba`, `latency_ms` are what their names say.
    """
    if from_ is not None and Path(from_).suffix.lower() in FILES:
        if days or to:
            raise CommandError("a file is no window of days", "Leave --day and --to out.")
        with client(context, timeout_s=300) as api:
            answer = api.capture_baseline(
                Path(from_), project_id=project_id, model_id=model_id, endpoint=endpoint, note=note,
                leave_out=leave_out or (), weekdays=_of_a_file(by), preview=seen_first,
            )  # fmt: skip
        emit(answer, as_json, lambda: reference_tables.from_data(answer))
        if seen_first:
            say("Nothing was stored: the same words without `--preview` do it.")
        return
    if seen_first:
        preview(context, project_id, model_id, endpoint, days, from_, to, by, as_json)
        return
    if leave_out:
        raise CommandError("--leave-out is for a file", "Closed days: `ml-guard feature set --ignore`.")
    window, groups = chosen_days(days, from_, to), chosen_groups(by)
    which = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    with client(context) as api:
        if groups is None:
            row = api.baselines.capture(days=window, note=note, **which)
            emit(row, as_json, lambda: tables.baseline(row))
        else:
            rows = api.baselines.capture_by_weekday(days=window, weekdays=groups, note=note, **which)
            _by_weekday(rows, as_json)


@group.command()
def preview(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    endpoint: EndpointOption = "predict",
    days: Days = None,
    from_: From = None,
    to: To = None,
    by: By = weekdays.ALL,
    as_json: AsJson = False,
) -> None:
    """Show what a capture would make; nothing is stored."""
    window, groups = chosen_days(days, from_, to), chosen_groups(by)
    which = {"project_id": project_id, "model_id": model_id, "endpoint": endpoint}
    with client(context) as api:
        if groups is None:
            row = api.baselines.preview(days=window, **which)
            emit(row, as_json, lambda: tables.baseline(row))
        else:
            rows = api.baselines.preview_by_weekday(days=window, weekdays=groups, **which)
            _by_weekday(rows, as_json)
    say("Nothing was stored: `ml-guard baseline capture` with the same words does it.")


@group.command("list")
def list_(
    context: typer.Context,
    project: Project = None,
    model: Model = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List baseline versions, the newest first."""
    with client(context) as api:
        rows = api.baselines.list(project_id=project, model_id=model, endpoint=endpoint)
    emit(rows, as_json, lambda: tables.baselines(rows))


@group.command()
def show(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    version: Annotated[
        int | None, typer.Argument(help="The version; the active one if none is given.")
    ] = None,
    endpoint: EndpointOption = "predict",
    as_json: AsJson = False,
) -> None:
    """Show a version with the bins of every feature."""
    with client(context) as api:
        if version is None:
            version = only_active(
                api.baselines.list(project_id=project_id, model_id=model_id, endpoint=endpoint),
                f"{project_id} {model_id}/{endpoint}",
            )
        row = api.baselines.show(version, project_id=project_id, model_id=model_id, endpoint=endpoint)
    emit(row, as_json, lambda: tables.baseline(row))


@group.command()
def activate(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    versions: Versions,
    endpoint: EndpointOption = "predict",
    as_json: AsJson = False,
) -> None:
    """Compare days that begin from now on with these versions.

    Active versions that share a weekday with one of them are ended; a version of all days ends every other.
    """
    with client(context) as api:
        rows = [
            api.baselines.activate(version, project_id=project_id, model_id=model_id, endpoint=endpoint)
            for version in versions
        ]
    emit(rows[0] if len(rows) == 1 else rows, as_json, lambda: tables.baselines(rows))


@group.command()
def compare(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    first: Annotated[int, typer.Argument(help="A version.")],
    second: Annotated[int, typer.Argument(help="Another version.")],
    endpoint: EndpointOption = "predict",
    as_json: AsJson = False,
) -> None:
    """Show two versions side by side: their features, statistics, thresholds and bins.

    `ml-guard compare` has the statistics of drift between the days themselves.
    """
    with client(context) as api:
        sides = [
            api.baselines.show(version, project_id=project_id, model_id=model_id, endpoint=endpoint)
            for version in (first, second)
        ]
    rows = reference_tables.differences(*sides)
    emit(rows, as_json, lambda: reference_tables.versions(sides[0], sides[1], rows))


@group.command()
def copy(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    source: Annotated[str, typer.Option("--from", help="The model whose baselines are copied.")],
    endpoint: EndpointOption = "predict",
    from_endpoint: Annotated[str, typer.Option("--from-endpoint", help="Its endpoint.")] = "predict",
    version: Annotated[
        int | None, typer.Option("--version", help="One version; by default all active ones.")
    ] = None,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Start a new model version from its predecessor's baselines, active at once.

    The model need not have had an event: its first day is counted in these bins.
    """
    with client(context) as api:
        rows = api.baselines.copy(
            project_id=project_id, model_id=model_id, endpoint=endpoint, from_model_id=source,
            from_endpoint=from_endpoint, version=version, note=note,
        )  # fmt: skip
    _by_weekday(rows, as_json)


@group.command()
def score(
    context: typer.Context,
    project_id: ProjectId,
    model_id: ModelId,
    version: Annotated[int, typer.Argument(help="The version, active or not.")],
    from_: Annotated[str, typer.Option("--from", help="The first day to score, YYYY-MM-DD.")],
    to: Annotated[str, typer.Option("--to", help="The last day to score, YYYY-MM-DD.")],
    endpoint: EndpointOption = "predict",
    as_json: AsJson = False,
) -> None:
    """Show what past days would say against any version; nothing is stored.

    Days are scored by counters where these cover the version, else from their merged sketches; `by` says which.
    """
    with client(context, timeout_s=60) as api:
        answer = api.drift_against(
            version, project_id=project_id, model_id=model_id, endpoint=endpoint,
            from_=day(from_, "--from"), to=day(to, "--to"),
        )  # fmt: skip
    emit(answer, as_json, lambda: tables.drift(answer.items))
    say(f"Against version {version}, computed now: the days keep the verdicts that they have.")


def _by_weekday(rows: BaselinesByWeekday, as_json: bool) -> None:
    emit(rows, as_json, lambda: tables.baselines(rows.items))
    for warning in rows.warnings:
        say(f"[warn]Note:[/] {escape(warning)}.")


def only_active(rows: Sequence[Baseline], model: str) -> int:
    """The one version that is active."""
    active = [row for row in rows if row.active and row.version is not None]
    if not active:
        raise CommandError(f"{model} has no baseline", "`ml-guard baseline capture` makes one.")
    if len(active) > 1:
        named = ", ".join(f"{row.version} ({weekdays.named(row.weekdays)})" for row in reversed(active))
        raise CommandError(f"{model} has several active baselines: {named}", "Name one of these versions.")
    return active[0].version or 0


def chosen_groups(by: str) -> list[list[int]] | None:
    """The groups of weekdays that `--by` names; None: all days together."""
    try:
        return weekdays.groups(by)
    except ConfigError as error:
        raise CommandError(f"--by {by}: {error}", "Try `--by weekday` or `--by workday-weekend`.") from None


def _of_a_file(by: str) -> list[int] | None:
    """The weekdays that a file stands for: it has no days that could be divided among groups."""
    named = chosen_groups(by)
    if named is not None and len(named) > 1:
        raise CommandError(
            f"--by {by}: a file is one baseline, of all days or of one group of weekdays",
            "Name one group, such as `--by sat+sun`, and give another file for the others.",
        )
    return None if named is None else named[0]


def chosen_days(days: list[str] | None, from_: str | None, to: str | None) -> list[date]:
    """The days that `--day`, or `--from` with `--to`, name.

    >>> [str(day) for day in chosen_days(None, "2025-01-30", "2025-02-01")]
    ['2025-01-30', '2025-01-31', '2025-02-01']
    """
    chosen = [day(text, "--day") for text in days or []]
    if (from_ is None) != (to is None):
        raise CommandError("--from and --to belong together", "Give both, or name single days with --day.")
    if from_ is not None and to is not None:
        first, last = day(from_, "--from"), day(to, "--to")
        if last < first:
            raise CommandError(f"--to {last} is before --from {first}", "Give the earlier day as --from.")
        chosen += [first + timedelta(days=k) for k in range((last - first).days + 1)]
    if not chosen:
        raise CommandError(
            "no days are named",
            "Give --from and --to, or --day; the days must be closed (`ml-guard metrics`).",
        )
    return sorted(set(chosen))
