"""`ml-guard project`: which projects are there, and in which zones do their days run?"""

from __future__ import annotations

from typing import Annotated

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.output import AsJson, emit, say

group = typer.Typer(no_args_is_help=True, help="Create projects and set the zone that their days run in.")

ProjectId = Annotated[str, typer.Argument(help="The project's id, as events name it.")]
Zone = Annotated[str, typer.Option("--zone", help="An IANA zone, such as America/Toronto.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="project")


@group.command()
def create(
    context: typer.Context,
    project_id: ProjectId,
    zone: Zone,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    dedupe_by_event_id: Annotated[
        bool,
        typer.Option("--dedupe-by-event-id", help="Count an event_id once; its cost grows with traffic."),
    ] = False,
    hash_labels: Annotated[
        bool, typer.Option("--hash-labels", help="Store category labels as keyed hashes only.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a project whose days run from midnight to midnight in its zone."""
    with client(context) as api:
        made = api.projects.create(
            project_id, zone=zone, name=name, dedupe_by_event_id=dedupe_by_event_id or None,
            labels="hashed" if hash_labels else None,
        )  # fmt: skip
    emit(made, as_json, lambda: tables.projects([made]))


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the projects that the key may see."""
    with client(context) as api:
        rows = api.projects.list()
    emit(rows, as_json, lambda: tables.projects(rows))


@group.command()
def show(context: typer.Context, project_id: ProjectId, as_json: AsJson = False) -> None:
    """Show one project with the history of its zones."""
    with client(context) as api:
        row = api.projects.get(project_id)
    emit(row, as_json, lambda: tables.projects([row]))


@group.command()
def zone(
    context: typer.Context,
    project_id: ProjectId,
    zone: Annotated[str, typer.Argument(help="The new IANA zone.")],
    as_json: AsJson = False,
) -> None:
    """Change a project's zone from the next midnight of the new zone on."""
    with client(context) as api:
        row = api.projects.update(project_id, zone=zone)
    emit(row, as_json, lambda: tables.projects([row]))
    if row.zone != zone:
        say("The new zone holds from its next midnight on; days until then stay as they are.")


@group.command()
def hash_labels(
    context: typer.Context,
    project_id: ProjectId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store category labels as keyed hashes from now on, those that are stored already too; for good.

    Counts, baselines and verdicts stay. API and workers need the setting ML_GUARD_LABEL_KEY (docs/privacy.md).
    """
    if not yes:
        typer.confirm("Nobody can make hashed labels readable again. Go on?", abort=True, err=True)
    with client(context, timeout_s=600) as api:
        row = api.projects.update(project_id, labels="hashed")
    emit(row, as_json, lambda: tables.projects([row]))


@group.command()
def delete(
    context: typer.Context,
    project_id: ProjectId,
    confirm: Annotated[
        str | None, typer.Option("--confirm", help="The project's id once more; without it you are asked.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove every row of a project and its keys, for good; the receipt says what stays in Kafka until when."""
    if confirm is None:
        say("Nothing brings a deleted project back.")
        confirm = typer.prompt("Type the project's id to delete it", err=True)
    with client(context) as api:
        receipt = api.projects.delete(project_id, confirm=confirm)
    emit(receipt, as_json, lambda: tables.deletion(receipt))
