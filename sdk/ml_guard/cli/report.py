"""`ml-guard report`: a day or a range of days as one HTML file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.options import From, Model, OneDay, To, maybe_day
from ml_guard.cli.output import AsJson, emit
from ml_guard.report.facts import read_facts
from ml_guard.report.page import page

MOST_DAYS = 92


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(report)


def report(
    context: typer.Context,
    project: Annotated[str, typer.Option("--project", help="The project.")],
    model: Model = None,
    day: OneDay = None,
    from_: From = None,
    to: To = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write a day or a range of days as one HTML file, to be sent, kept or printed.

    It has what moved first, traffic, latency, predictions, PSI by feature and day, the bins of what drifted, the
    baseline and the ledger. It needs no network and has no script.
    """
    first, last = _days(maybe_day(day, "--day"), maybe_day(from_, "--from"), maybe_day(to, "--to"))
    with client(context) as api:
        facts = read_facts(api, project, first, last, model)
    try:
        output.write_text(page(facts), encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}", "Choose another file with --output."
        ) from error
    written = {
        "file": str(output),
        "project_id": project,
        "from": first,
        "to": last,
        "models": len(facts.models),
    }
    emit(written, as_json, lambda: f"{output}: {len(facts.models)} models of {project}, {first} to {last}.")


def _days(day: date | None, first: date | None, last: date | None) -> tuple[date, date]:
    if day is not None and (first or last):
        raise CommandError("--day is one day, --from and --to are several", "Give one or the other.")
    if day is not None:
        return day, day
    if first is None or last is None:
        raise CommandError("Which days?", "Give --day, or --from and --to.")
    if first > last:
        raise CommandError(f"--from {first} is after --to {last}", "Turn them round.")
    if (last - first).days >= MOST_DAYS:
        raise CommandError(f"a report has at most {MOST_DAYS} days", "Choose a shorter range.")
    return first, last
