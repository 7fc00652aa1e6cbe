"""`ml-guard key`: who may send, read, operate and administer?"""

from __future__ import annotations

from typing import Annotated

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.output import AsJson, emit, say

group = typer.Typer(no_args_is_help=True, help="Make and revoke API keys.")


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(group, name="key")


@group.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what uses the key.")],
    scope: Annotated[
        list[str], typer.Option("--scope", help="ingest, read, operate or admin; give it once for each.")
    ],
    project: Annotated[
        list[str] | None,
        typer.Option("--project", help="Bind the key to this project; give it once for each."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is printed this once and kept nowhere."""
    with client(context) as api:
        made = api.keys.create(name, scopes=scope, project_ids=project or None)
    emit(made, as_json, lambda: made.key)
    say("Keep it now: it cannot be shown again.")


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    with client(context) as api:
        rows = api.keys.list()
    emit(rows, as_json, lambda: tables.keys(rows))


@group.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Make a key worthless, at once."""
    with client(context) as api:
        api.keys.revoke(key_id)
    emit({"revoked": key_id}, as_json, lambda: f"Revoked {key_id}.")
