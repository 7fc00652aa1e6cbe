"""`ml-guard purge`: how does a bad day of a model leave?"""

from __future__ import annotations

from typing import Annotated

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import day as day_of
from ml_guard.cli.output import AsJson, emit, say


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(purge)


def purge(
    context: typer.Context,
    project: Annotated[str, typer.Option("--project", help="The project.")],
    model: Annotated[str, typer.Option("--model", help="The model.")],
    day: Annotated[str, typer.Option("--day", help="The bad day, YYYY-MM-DD, in the project's zone.")],
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Only this endpoint.")] = None,
    forget_batches: Annotated[
        bool,
        typer.Option(
            "--forget-batches",
            help="Forget the project's batches of the last 7 days, so that corrected events may have the same batch_id; "
            "a retry of any of them would count again.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a bad day of a model, for good: its state and its results; the ledger has its events as deleted.

    Stop what sends the bad events first: those that arrive afterwards count, so that a corrected backfill does too.
    """
    which = day_of(day, "--day")
    where = f"{which} of {model}" + ("" if endpoint is None else f"/{endpoint}")
    if not yes:
        say(f"Nothing brings {where} in project {project} back, but its events sent once more.")
        if not typer.confirm("Purge it?", err=True):
            raise CommandError("nothing was purged", "Answer y, or give --yes.")
    with client(context) as api:
        receipt = api.purge_day(
            project_id=project,
            model_id=model,
            endpoint=endpoint,
            day=which,
            forget_batches=forget_batches or None,
        )
    emit(receipt, as_json, lambda: tables.purge(receipt))
