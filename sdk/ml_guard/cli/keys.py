"""`ml-guard key`: who may send, read, operate and administer?"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import client
from ml_guard.cli.failures import CommandError
from ml_guard.cli.migrate import no_database, server_part, server_settings
from ml_guard.cli.output import AsJson, emit, say
from ml_guard.shapes import NewKey

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
    in_database: Annotated[
        bool,
        typer.Option(
            "--in-database",
            help="Write it into the database (ML_GUARD_DATABASE_URL, as its owner) instead of asking the API: for the "
            "first key, and where every admin key is lost.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is printed this once and kept nowhere."""
    if in_database:
        made = _written(name, scope, project)
    else:
        with client(context) as api:
            made = api.keys.create(name, scopes=scope, project_ids=project or None)
    emit(made, as_json, lambda: made.key)
    say("Keep it now: it cannot be shown again.")


def _written(name: str, scopes: list[str], projects: list[str] | None) -> NewKey:
    """A key for every project, made without the API."""
    store, refusal = server_part("stream.store.keys"), server_part("stream.store.refusal")
    if unknown := sorted(set(scopes) - set(store.SCOPES)):
        raise CommandError(f"there is no scope {', '.join(unknown)}", f"Give {', '.join(store.SCOPES)}.")
    if projects:
        raise CommandError(
            "a key that is written into the database is for every project",
            "Make an admin key so, and with it those that are bound to a project.",
        )
    settings = server_settings()
    try:
        key, secret = asyncio.run(store.create_in(settings.database_url, name, scopes))
    except refusal.REFUSED as error:
        raise no_database(settings, error) from error
    except store.NO_TABLE as error:
        raise CommandError("the database has no schema yet", "Run `ml-guard migrate`.") from error
    return NewKey(
        key_id=key.key_id, name=key.name, scopes=sorted(key.scopes), created_at=key.created_at, key=secret
    )


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
