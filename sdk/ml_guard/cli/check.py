"""`ml-guard check`: would events of a service in this environment arrive, and if not, why?"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from ml_guard.checking import Check, Step
from ml_guard.cli.connection import address
from ml_guard.cli.failures import NEGATIVE
from ml_guard.cli.output import AsJson, emit
from ml_guard.client import MLGuardClient


class Arrival(msgspec.Struct, frozen=True):
    """Whether events would arrive, and what was looked at."""

    ok: bool
    steps: list[Step]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(check)


def check(
    context: typer.Context,
    project: Annotated[
        str | None, typer.Option("--project", help="The project that events name (or ML_GUARD_PROJECT).")
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option("--kafka", help="Look at this Kafka instead of the server (or ML_GUARD_KAFKA)."),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait at most.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Say whether events of a service with this environment would arrive, and if not, why; none is sent.

    It looks at what `MLGuardClient()` would use: address, clock, key, scope, project, Kafka. Exit code 0 if events would
    arrive, else 1, for a server that cannot be reached too.
    """
    where = address(context)
    named = (context.find_root().obj or {}).get("url")
    kafka = kafka or (None if named else os.environ.get("ML_GUARD_KAFKA") or None)
    bridge = where.url if kafka is None or named else None  # beside Kafka it is the environment's, or none
    with MLGuardClient(bridge, where.api_key, kafka=kafka, project_id=project) as client:
        found: Check = client.check(timeout_s=timeout_s)
    emit(Arrival(found.ok, list(found.steps)), as_json, lambda: _drawn(found))
    if not found.ok:
        raise typer.Exit(NEGATIVE)


def _drawn(found: Check) -> RenderableType:
    made = Table.grid(padding=(0, 2))
    for column in (6, 8):
        made.add_column(min_width=column, no_wrap=True)
    made.add_column(overflow="fold")
    for step in found.steps:
        cure = f"\n[quiet]{escape(step.cure)}[/]" if step.cure and not step.ok else ""
        mark = "[good]ok[/]" if step.ok else "[bad]FAILED[/]"
        made.add_row(mark, escape(step.name), escape(step.seen) + cure)
    return made
