"""`ml-guard ledger`: where did every record and every event go?"""

from __future__ import annotations

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import NEGATIVE
from ml_guard.cli.options import From, Project, To, maybe_day
from ml_guard.cli.output import AsJson, emit


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(ledger)


def ledger(
    context: typer.Context,
    project: Project = None,
    from_: From = None,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """Show both ledgers: records by partition, events by project and day.

    Decoded events are merged, dead, duplicate or deleted, each counted by another part of the product; the
    difference is zero, or something is wrong. Below stands what clients say that they retried and lost before it
    came here, by UTC day. Ends with exit code 1 if they do not balance.
    """
    first, last = maybe_day(from_, "--from"), maybe_day(to, "--to")
    with client(context) as api:
        answer = api.ledger(project_id=project, from_=first, to=last)
        days = api.ledger_days(project_id=project, from_=first, to=last)
        clients = api.client_counts(project_id=project, from_=first, to=last)
    data = {"balanced": answer.balanced, "partitions": answer.partitions, "days": days, "clients": clients}
    emit(data, as_json, lambda: tables.ledger(answer, days, clients))
    if not answer.balanced:
        raise typer.Exit(NEGATIVE)
