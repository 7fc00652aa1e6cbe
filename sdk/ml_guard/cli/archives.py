"""`ml-guard backup`, `restore`, `export`, `import`: how does what was counted outlive its database, or move to another?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from ml_guard.cli import tables
from ml_guard.cli import wording as w
from ml_guard.cli.failures import CommandError
from ml_guard.cli.migrate import bring_up_to_date, no_database, server_part, server_settings
from ml_guard.cli.output import AsJson, emit, rows_bar

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")]
NewFile = Annotated[Path, typer.Argument(help="The file to write; its owner alone can read it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(backup)
    app.command()(restore)
    app.command()(export)
    app.command("import")(import_)


def backup(file: NewFile, overwrite: Overwrite = False, as_json: AsJson = False) -> None:
    """Write everything in the database (ML_GUARD_DATABASE_URL) into a file, as it is at one instant.

    Workers go on meanwhile, except on the embedded stack, where they wait. With it and what Kafka still holds, all is as
    if nothing had happened (docs/upgrading.md). It holds the hashes of keys and no key.
    """
    settings = server_settings()
    take = server_part("stream.archive.taking").take
    with rows_bar("backing up") as progress:
        held = _run(settings, take(settings.database_url, file, overwrite=overwrite, progress=progress))
    _tell(held, file, as_json, f"{file} has everything as of {w.instant(held.made_at)}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `ml-guard backup` has written.")], as_json: AsJson = False
) -> None:
    """Write a backup into an empty database and bring it to this version's schema. All of it is written, or nothing.

    Workers go on at the offsets of the backup. Where Kafka no longer holds what came since, the partition stands still
    and says which offsets are lost and what accepts that.
    """
    settings = server_settings()
    loading = server_part("stream.archive.loading")
    with rows_bar("restoring") as progress:
        held = _run(settings, loading.restore(settings.database_url, file, progress=progress))
    _run(settings, bring_up_to_date(settings))
    _tell(held, file, as_json, f"{file} was restored: everything is as it was at {w.instant(held.made_at)}")


def export(
    file: NewFile,
    project: Annotated[str, typer.Option("--project", help="The project.")],
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a project into a file: settings, baselines, policies, costs, alerts, state, results and its ledger.

    Not with it: keys, messages of alerts, and where its refused events lie in Kafka.
    """
    settings = server_settings()
    take = server_part("stream.archive.taking").take
    with rows_bar("exporting") as progress:
        work = take(settings.database_url, file, project_id=project, overwrite=overwrite, progress=progress)
        held = _run(settings, work)
    _tell(held, file, as_json, f"{file} has project {project} as of {w.instant(held.made_at)}")


def import_(
    file: Annotated[Path, typer.Argument(help="What `ml-guard export` has written.")], as_json: AsJson = False
) -> None:
    """Write an exported project into this database, beside others. All of it is written, or nothing.

    Its events must not come to both databases: stop the senders before the export, and send them here afterwards.
    """
    settings = server_settings()
    loading = server_part("stream.archive.loading")
    with rows_bar("importing") as progress:
        held = _run(settings, loading.import_project(settings.database_url, file, progress=progress))
    _tell(held, file, as_json, f"Project {held.project_id} was imported as of {w.instant(held.made_at)}")


def _run(settings: Any, work: Any) -> Any:
    migration, reader = server_part("stream.migrate"), server_part("stream.reader")
    errors = (
        server_part("stream.archive.file").ArchiveError,
        migration.MigrationError,
        reader.LoginRefusedError,
    )
    try:
        return asyncio.run(work)
    except errors as error:
        raise CommandError(str(error)) from error
    except server_part("stream.store.refusal").REFUSED as error:
        raise no_database(settings, error) from error


def _tell(held: Any, file: Path, as_json: bool, said: str) -> None:
    size = file.stat().st_size
    data = {
        "file": str(file),
        "bytes": size,
        "kind": held.kind,
        "project_id": held.project_id,
        "made_at": held.made_at,
        "made_by": held.made_by,
        "schema": held.schema,
        "rows": {table.name: table.rows for table in held.tables if table.rows},
    }
    emit(data, as_json, _drawn(held, size, said))


def _drawn(held: Any, size: int, said: str) -> Callable[[], RenderableType]:
    def draw() -> RenderableType:
        made = tables.table("table", ">rows")
        for table in held.tables:
            if table.rows:
                made.add_row(table.name, w.count(table.rows))
        facts = (
            f"{w.count(held.rows)} rows, {size / 1e6:,.1f} MB, schema {held.schema:03}, by {held.made_by}."
        )
        return Group(Text(f"{said}."), Text(facts, style="quiet"), made)

    return draw
