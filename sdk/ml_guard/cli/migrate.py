"""`ml-guard migrate`: does the database have the schema, and Kafka the topics, that this version needs?"""

from __future__ import annotations

import asyncio
import importlib
from typing import Annotated, Any

import typer

from ml_guard.cli import tables
from ml_guard.cli.connection import read_stack
from ml_guard.cli.failures import CommandError
from ml_guard.cli.output import AsJson, emit


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(migrate)


def migrate(
    topics: Annotated[
        bool, typer.Option("--topics", help="Create Kafka's topics too, where they are missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database (ML_GUARD_DATABASE_URL) to this version's schema. What was applied before stays untouched."""
    production = server_part("stream.production")
    migration, reader = server_part("stream.migrate"), server_part("stream.reader")
    settings = server_settings()
    refusal = server_part("stream.store.refusal")
    try:
        production.refuse_demo_credentials(settings)
        applied = asyncio.run(bring_up_to_date(settings))
    except (production.DemoCredentialError, migration.MigrationError, reader.LoginRefusedError) as error:
        raise CommandError(str(error)) from error
    except refusal.REFUSED as error:
        raise no_database(settings, error) from error
    created = asyncio.run(_topics(settings)) if topics else []
    data = {
        "applied": [{"number": one.number, "name": one.name, "seconds": one.seconds} for one in applied],
        "topics": created,
    }
    emit(data, as_json, lambda: _told(applied, created))


def server_settings() -> Any:
    """The servers' settings, with the addresses of the stack that runs here."""
    return server_part("stream.settings").Settings(**_of_stack())


async def bring_up_to_date(settings: Any) -> list[Any]:
    """Apply migrations and what depends on settings; the migrations that were applied."""
    migration, reader = server_part("stream.migrate"), server_part("stream.reader")
    applied: list[Any] = await migration.migrate(settings.database_url)
    await migration.apply_policies(
        settings.database_url, retention_days=settings.retention_days, hours_days=settings.hours_days
    )
    if page := settings.public_url or read_stack().get("dashboard"):
        await reader.set_page(settings.database_url, page)
    if settings.grafana_password is not None:
        await reader.set_login(settings.database_url, settings.grafana_password.get_secret_value())
    for login, setting in reader.SERVICES.items():
        if (password := getattr(settings, setting)) is not None:
            await reader.set_service_login(settings.database_url, login, password.get_secret_value())
    return applied


async def _topics(settings: Any) -> list[str]:
    from aiokafka.errors import KafkaError

    no_broker: type[Exception] = server_part("stream.kafka").NoBrokerError
    try:
        created: list[str] = await server_part("stream.topics").ensure_topics(settings)
    except no_broker as error:
        raise CommandError(str(error), "ML_GUARD_KAFKA and ML_GUARD_KAFKA_* name broker and user.") from error
    except (KafkaError, OSError) as error:
        raise CommandError(
            f"no Kafka broker answers at {settings.kafka} ({error})",
            "Start the stack with `ml-guard up`, or name the broker in ML_GUARD_KAFKA.",
        ) from error
    return created


def server_part(name: str) -> Any:
    """A module of the server, which the published package does not hold."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise CommandError(
            f"this command needs the server's source ({name}), which the published package does not hold",
            "Run it in a clone of the repository, or in the image.",
        ) from None


def _of_stack() -> dict[str, Any]:
    """The running stack's addresses; the environment's come first."""
    import os

    stack = read_stack()
    return {
        name: stack[name]
        for name in ("kafka", "database_url")
        if stack.get(name) and not os.environ.get(f"ML_GUARD_{name.upper()}")
    }


def no_database(settings: Any, error: BaseException) -> CommandError:
    """The error of a command that did not get into the database."""
    why: str = server_part("stream.store.refusal").why(settings.database_url, error)
    return CommandError(
        why, "Start the stack with `ml-guard up`, or name the database in ML_GUARD_DATABASE_URL."
    )


def _told(applied: list[Any], created: list[str]) -> Any:
    made = tables.table(">number", "migration", ">seconds")
    for one in applied:
        made.add_row(f"{one.number:03}", one.name, f"{one.seconds:.2f}")
    if created:
        made.caption = f"topics created: {', '.join(created)}"
    return tables.rows_or(
        "The database is up to date." + (f" Created {', '.join(created)}." if created else ""), made
    )
