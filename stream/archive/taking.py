"""How is everything, or a project, written into a file while workers go on? In one snapshot of the database."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from stream.archive.file import ArchiveError, Manifest, Migration, written
from stream.store import tables

Progress = Callable[[int, int], None]
"""Takes how many rows are done, and of how many."""


async def take(
    database_url: str,
    path: Path,
    *,
    project_id: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Write a backup, or the export of a project; what it holds.

    A backup has the fences of the same instant as the state: a worker on the restored database goes on where the
    backup was taken, record for record.

    Raises
    ------
    ArchiveError
        If there is no such project or no schema, or the file cannot be written.
    """
    connection = await tables.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            applied = await tables.migrations(connection)
            if not applied:
                raise ArchiveError("the database has no schema of ML Guard: there is nothing to take")
            if project_id is not None and not await tables.has_project(connection, project_id):
                raise ArchiveError(f"there is no project {project_id!r}; `ml-guard project list` lists them")
            chosen = await tables.stored_tables(connection)
            if project_id is not None:
                chosen = tables.of_project(chosen)
            parts = {table: await tables.parts(connection, table, project_id) for table in chosen}
            total, done, held = sum(part.rows for found in parts.values() for part in found), 0, []
            progress(done, total)
            with written(path, overwrite=overwrite) as archive:
                for table, found in parts.items():
                    with archive.table(table.name) as out:
                        for part in found:
                            await tables.copy_out(connection, table, part, project_id, out)
                            done += part.rows
                            progress(done, total)
                    held.append(out.table(table.name, list(table.columns)))
                manifest = Manifest(
                    kind="backup" if project_id is None else "export",
                    project_id=project_id,
                    made_at=datetime.now(UTC),
                    made_by=f"ml-guard {importlib.metadata.version('ml-guard')}",
                    migrations=[Migration(number=n, name=name, sha256=sha) for n, name, sha in applied],
                    tables=held,
                    sequences=await tables.sequences(connection) if project_id is None else {},
                )
                archive.finish(manifest)
            return manifest
    finally:
        await connection.close()
