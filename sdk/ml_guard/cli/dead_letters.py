"""`ml-guard dead`: what was refused, why, and can it be sent again?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import Limit, Project
from ml_guard.cli.output import AsJson, emit

group = typer.Typer(no_args_is_help=True, help="Look at events that were refused, and send them again.")

Reason = Annotated[str | None, typer.Option("--reason", help="Only those with this reason.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="dead")


@group.command("list")
def list_(
    context: typer.Context,
    project: Project = None,
    reason: Reason = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    with client(context) as api:
        rows = api.dead_letters.list(project_id=project, reason=reason, limit=limit)
    emit(rows, as_json, lambda: tables.dead_letters(rows))


@group.command()
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="Its id, as `dead list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its original bytes."""
    with client(context) as api:
        row = api.dead_letters.show(letter)
    text = row.original_text
    if text is None:
        text = f"(not text; base64) {row.original_base64}" if row.original_base64 else "(the bytes are gone)"
    emit(row, as_json, lambda: Group(tables.dead_letters([row]), Text(text)))


@group.command()
def replay(
    context: typer.Context,
    letters: Annotated[list[str] | None, typer.Argument(help="Their ids, as `dead list` shows them.")] = None,
    project: Annotated[str | None, typer.Option("--project", help="Those of this project.")] = None,
    reason: Reason = None,
    again: Annotated[bool, typer.Option("--again", help="Those too that were replayed before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again: some by their ids, or all with a reason.

    Useful once the cause is gone, such as a project that did not exist. Each is sent once, unless --again is given.
    """
    if not letters and reason is None:
        raise CommandError("nothing is chosen", "Name dead letters by their ids, or give --reason.")
    if letters and (reason is not None or project is not None):
        raise CommandError("ids and --reason exclude each other", "Give the one or the other.")
    with client(context) as api:
        answer = api.dead_letters.replay(
            ids=letters or None, project_id=project, reason=reason, again=again or None
        )
    told = f"Sent again: {answer.replayed}. Skipped: {answer.skipped}. Remaining: {answer.remaining}."
    emit(answer, as_json, lambda: told)
