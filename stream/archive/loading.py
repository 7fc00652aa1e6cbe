"""How does an archive come back: a backup into an empty database, an exported project beside others?

Either is written in one transaction. A backup is written at the schema that it was made at, and migrated from there as
the database itself would have been.
"""

from __future__ import annotations

from pathlib import Path

import asyncpg

from stream import migrate
from stream.archive.file import (
    ArchiveError,
    ArchiveReader,
    ArchiveVersionError,
    BrokenArchiveError,
    Manifest,
    OccupiedError,
    opened,
)
from stream.archive.taking import Progress
from stream.store import tables
from stream.store.aggregates import refresh_traffic

Connection = asyncpg.Connection


async def restore(
    database_url: str, path: Path, *, progress: Progress = lambda done, total: None
) -> Manifest:
    """Write a backup into an empty database, and bring it to this version's schema; what the backup held.

    Raises
    ------
    BrokenArchiveError, ArchiveVersionError, OccupiedError
        Nothing was written.
    stream.migrate.MigrationError
        If the server is none that ML Guard works on.
    """
    with opened(path) as archive:
        manifest = archive.manifest
        if manifest.kind != "backup":
            raise ArchiveError(
                f"{path} is the export of project {manifest.project_id}: `ml-guard import` takes it"
            )
        _require_known(path, manifest)
        connection = await tables.connect(database_url)
        try:
            await _prepare(connection, database_url, manifest)
            async with connection.transaction():
                await connection.execute("lock table ml_guard.project in share row exclusive mode")
                await _require_empty(connection)
                await tables.begin_restore(connection)
                await _load(connection, archive, progress)
                await tables.end_restore(connection, manifest.sequences)
            if {m.number for m in migrate.read()} != {m.number for m in manifest.migrations}:
                await migrate.migrate(database_url)
            await _refresh(connection, None)
        finally:
            await connection.close()
    return manifest


async def import_project(
    database_url: str, path: Path, *, progress: Progress = lambda done, total: None
) -> Manifest:
    """Write an exported project into a database of the same schema that has no such project; what the export held.

    Raises
    ------
    BrokenArchiveError, ArchiveVersionError, OccupiedError
        Nothing was written.
    """
    with opened(path) as archive:
        manifest = archive.manifest
        project_id = manifest.project_id
        if manifest.kind != "export" or project_id is None:
            raise ArchiveError(f"{path} is a backup of everything: `ml-guard restore` takes it")
        connection = await tables.connect(database_url)
        try:
            applied = await tables.migrations(connection)
            if applied != [(m.number, m.name, m.sha256) for m in manifest.migrations]:
                here = f"at {applied[-1][0]:03}" if applied else "without one"
                raise ArchiveVersionError(
                    f"{path} was exported at schema {manifest.schema:03} and this database is {here}: bring both to the "
                    "same version with `ml-guard migrate`, and export again"
                )
            async with connection.transaction():
                await connection.execute("lock table ml_guard.project in share row exclusive mode")
                if await tables.has_project(connection, project_id):
                    raise OccupiedError(
                        f"there is a project {project_id!r} already: `ml-guard project delete` removes it, or import "
                        "into another database"
                    )
                await _load(connection, archive, progress)
                await tables.begin_anew(connection, project_id)
            await _refresh(connection, project_id)
        finally:
            await connection.close()
    return manifest


def _require_known(path: Path, manifest: Manifest) -> None:
    """The backup's schema is one that these migrations lead to and beyond."""
    known = {migration.number: migration for migration in migrate.read()}
    for had in manifest.migrations:
        ours = known.get(had.number)
        if ours is None:
            raise ArchiveVersionError(
                f"{path} was made by a newer ML Guard ({manifest.made_by}, schema {manifest.schema:03}; this one has "
                f"{max(known):03}): restore it with that version"
            )
        if ours.sha256 != had.sha256:
            raise ArchiveVersionError(
                f"{path} was made at a schema whose migration {had.number:03}_{had.name} is not the one of this version: "
                "restore it with the version that made it"
            )


async def _prepare(connection: Connection, database_url: str, manifest: Manifest) -> None:
    """Have the database at the backup's schema; one that is at another, and empty, is made anew."""
    numbers = {migration.number for migration in manifest.migrations}
    applied = {number for number, _, _ in await tables.migrations(connection)}
    if applied:
        await _require_empty(connection)
        if applied == numbers:
            return
        await connection.execute("drop schema ml_guard cascade")
    await migrate.migrate(database_url, only=numbers)


async def _require_empty(connection: Connection) -> None:
    table = await tables.occupied(connection)
    if table is not None:
        raise OccupiedError(
            f"the database is not empty (table {table} has rows) and a backup never writes over anything: restore into "
            "another database, or remove this one's schema first (`drop schema ml_guard cascade`)"
        )


async def _load(connection: Connection, archive: ArchiveReader, progress: Progress) -> None:
    """Write every row of the archive. Names are taken from the database, not from the file.

    A file from elsewhere can have any checksum: of an export, every row has to be its project's.
    """
    there = {table.name: table for table in await tables.stored_tables(connection)}
    manifest, done = archive.manifest, 0
    project_id = manifest.project_id
    own = {table.name for table in tables.of_project(list(there.values()))}
    for held in manifest.tables:
        table = there.get(held.name)
        if project_id is not None and held.name not in own:
            raise _more(archive, held.name)
        if table is None or not set(held.columns) <= set(table.columns):
            raise BrokenArchiveError(
                f"{archive.path} names a table or column that its schema does not have: {held.name}"
            )
        before = 0 if project_id is None else await tables.rows_of(connection, table.name, project_id)
        rows = 0
        for text in archive.pieces(held):
            try:
                rows += await tables.copy_in(connection, table.name, held.columns, text)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise BrokenArchiveError(
                    f"{archive.path} holds rows of {table.name} that the database refuses"
                ) from error
            progress(done + rows, manifest.rows)
        done += rows
        if rows != held.rows:
            raise BrokenArchiveError(
                f"{archive.path}: {rows} of {held.rows} rows of {table.name} were written"
            )
        if (
            project_id is not None
            and await tables.rows_of(connection, table.name, project_id) != before + rows
        ):
            raise _more(archive, held.name)


def _more(archive: ArchiveReader, table: str) -> BrokenArchiveError:
    return BrokenArchiveError(
        f"{archive.path} holds more than project {archive.manifest.project_id}, in {table}: "
        "`ml-guard export` has not written it like that"
    )


async def _refresh(connection: Connection, project_id: str | None) -> None:
    for begin, end in await tables.traffic_days(connection, project_id):
        await refresh_traffic(connection, begin, end)
