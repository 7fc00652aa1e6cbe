"""How does the database come to the schema that this version of ML Guard needs?

The files `sql/NNN_name.sql` are applied in order and recorded in `ml_guard.migration` with their checksums.
A file runs in one transaction, unless its first line says `-- outside a transaction` (continuous aggregates and
their refreshes cannot run inside one): then it runs statement by statement and each of its statements can be
repeated, so a migrator that was interrupted starts the file again.

Two migrators at once are safe. An advisory lock lets one work while the other waits; on a server where all
clients share one backend that lock holds nobody, but there transactions are serial, each looks again whether its
file is still to be applied, and statements outside one can be repeated.

Exception
  MigrationError            the files and what the database has recorded do not fit, or a file failed
    UnsupportedServerError  the server is not a TimescaleDB that ML Guard works on
    SchemaBehindError       this version needs migrations that the database has not had
    SchemaAheadError        the database has had migrations that this version does not know
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import asyncpg

FOLDER = Path(__file__).resolve().parent.parent / "sql"
OLDEST_POSTGRES, NEWEST_POSTGRES = 15, 17
OLDEST_TIMESCALE = (2, 17)
OUTSIDE = "-- outside a transaction"
LOCK = 0x4D4C_4755  # any number that nobody else takes: "MLGU"

_FILE = re.compile(r"(\d{3})_([a-z0-9_]+)\.sql")
_TOKEN = re.compile(
    r"""
      --[^\n]*                          # a comment to the line's end
    | /\*.*?\*/                         # a comment in a block
    | '(?:[^']|'')*'                    # a string
    | "(?:[^"]|"")*"                    # a quoted name
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)  # a dollar-quoted string
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)

_RECORD = """
create schema if not exists ml_guard;
create table if not exists ml_guard.migration (
    number integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    seconds double precision not null
);
comment on table ml_guard.migration is 'Which files of sql/ this database has had, and what they held then.';
comment on column ml_guard.migration.number is 'The number that the file''s name begins with.';
comment on column ml_guard.migration.name is 'The rest of the file''s name.';
comment on column ml_guard.migration.sha256 is 'The checksum of the file''s text.';
comment on column ml_guard.migration.applied_at is 'When it was applied.';
comment on column ml_guard.migration.seconds is 'How long that took.';
"""


class MigrationError(Exception):
    """The files and what the database has recorded do not fit, or a file failed."""


class UnsupportedServerError(MigrationError):
    """The server is not a TimescaleDB that ML Guard works on."""


class SchemaBehindError(MigrationError):
    """This version needs migrations that the database has not had."""


class SchemaAheadError(MigrationError):
    """The database has had migrations that this version does not know."""


@dataclass(frozen=True)
class Migration:
    """A file of sql/."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum of the text, whatever its line ends."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def outside(self) -> bool:
        """Whether its statements cannot run inside a transaction."""
        return self.sql.startswith(OUTSIDE)


@dataclass(frozen=True)
class Applied:
    """A migration that this run applied."""

    number: int
    name: str
    sha256: str
    applied_at: datetime
    seconds: float


def statements(sql: str) -> list[str]:
    """The statements of a script, split at its semicolons.

    >>> statements("select ';'; -- one;\\nselect $$ a; b $$;")
    ["select ';'", '-- one;\\nselect $$ a; b $$']
    """
    parts, begin = [], 0
    for token in _TOKEN.finditer(sql):
        if token.group() == ";":
            parts.append(sql[begin : token.start()].strip())
            begin = token.end()
    parts.append(sql[begin:].strip())
    return [part for part in parts if re.sub(r"--[^\n]*|/\*.*?\*/|\s", "", part, flags=re.DOTALL)]


def read(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of a folder, in order; no number stands twice, and one may be left out."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named NNN_name.sql; rename it, or move it out of {folder}")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if not found:
        raise MigrationError(f"{folder} holds no migrations; ML Guard's servers run from the source tree")
    for one, other in pairwise(found):
        if one.number == other.number:
            raise MigrationError(
                f"{folder} has two migrations {one.number:03}: {one.name} and {other.name}; renumber the newer one"
            )
    return found


async def migrate(
    database_url: str,
    folder: Path = FOLDER,
    *,
    lock_timeout_s: float = 600.0,
    only: Container[int] | None = None,
) -> list[Applied]:
    """Bring a database up to date; what was applied now, in order (nothing: it was up to date).

    With `only` the migrations of these numbers, for a schema as an older version had it.
    """
    migrations = [migration for migration in read(folder) if only is None or migration.number in only]
    connection: asyncpg.Connection = await asyncpg.connect(database_url, statement_cache_size=0)
    try:
        await _lock(connection, lock_timeout_s)
        schema = await check_server(connection)
        # Our own names are always written with their schema; TimescaleDB's are found wherever it was installed.
        await connection.execute(f'set search_path = pg_catalog, "{schema}"')
        await connection.execute("set client_min_messages = warning")
        await connection.execute(_RECORD)
        pending = await _pending(connection, migrations)
        return [done for migration in pending if (done := await _apply(connection, migration)) is not None]
    finally:
        await connection.close()


async def apply_policies(
    database_url: str,
    *,
    compress_after_days: int = 14,
    retention_days: int | None = None,
    hours_days: int = 35,
) -> None:
    """Set when TimescaleDB compresses state and drops it (none: never), and how it refreshes the aggregates.

    Parameters
    ----------
    compress_after_days : int
        How long state stays as it is written. Late events are cheaper there than in compressed chunks.
    retention_days : int, optional
        How old an event may be. What holds it is dropped two days later, so nothing goes behind its back.
    hours_days : int
        How long the snapshots of full hours are kept.
    """
    connection = await asyncpg.connect(database_url, statement_cache_size=0)
    try:
        await connection.execute("set client_min_messages = warning")
        await connection.execute(
            "call ml_guard.set_policies($1::integer, $2::integer)", compress_after_days, retention_days
        )
        await connection.execute("call ml_guard.keep_hours($1::integer)", hours_days)
    finally:
        await connection.close()


async def pending(connection: asyncpg.Connection, folder: Path = FOLDER) -> list[Migration]:
    """The migrations that a database still wants; every one, if it has never been migrated."""
    migrations = read(folder)
    if await connection.fetchval("select to_regclass('ml_guard.migration')") is None:
        return migrations
    return await _pending(connection, migrations)


async def require_schema(connection: asyncpg.Connection, folder: Path = FOLDER) -> None:
    """Raise `SchemaBehindError` if this version needs more than the database has.

    A schema that is newer is fine: migrations of a release take nothing away that the release before it uses.
    """
    had: set[int] = set()
    if await connection.fetchval("select to_regclass('ml_guard.migration')") is not None:
        had = {row["number"] for row in await connection.fetch("select number from ml_guard.migration")}
    missing = [f"{one.number:03}_{one.name}" for one in read(folder) if one.number not in had]
    if missing:
        raise SchemaBehindError(
            f"the database lacks {', '.join(missing)}, which this version needs: run `ml-guard migrate` first"
        )


async def check_server(connection: asyncpg.Connection) -> str:
    """The schema that TimescaleDB is installed in; installs it where that is possible.

    Raises:
        UnsupportedServerError: with a sentence that says what is wrong and what to do.
    """
    server = int(await connection.fetchval("select current_setting('server_version_num')")) // 10_000
    if not OLDEST_POSTGRES <= server <= NEWEST_POSTGRES:
        raise UnsupportedServerError(
            f"the server is PostgreSQL {server}; ML Guard works on {OLDEST_POSTGRES} to {NEWEST_POSTGRES}"
        )
    if await connection.fetchrow("select 1 from pg_extension where extname = 'timescaledb'") is None:
        try:
            await connection.execute("create extension if not exists timescaledb")
        except asyncpg.PostgresError as error:
            raise UnsupportedServerError(
                f"the extension timescaledb cannot be created ({error}): use TimescaleDB's image, or install it, "
                "put it into shared_preload_libraries and create the extension as a superuser"
            ) from error
    row = await connection.fetchrow(
        """select e.extversion, n.nspname, current_setting('timescaledb.license', true) as licence
           from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'timescaledb'"""
    )
    assert row is not None  # it was there or has been created
    version, schema, licence = row["extversion"], row["nspname"], row["licence"]
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_TIMESCALE:
        raise UnsupportedServerError(
            f"the server has TimescaleDB {version}; ML Guard needs {'.'.join(map(str, OLDEST_TIMESCALE))} or later: "
            "update it, then `alter extension timescaledb update`"
        )
    if licence == "apache":
        raise UnsupportedServerError(
            "this TimescaleDB has only its Apache features; ML Guard needs the community ones (continuous "
            "aggregates, compression): set timescaledb.license = 'timescale', or use the image without `-oss`"
        )
    return str(schema)


async def _lock(connection: asyncpg.Connection, timeout_s: float) -> None:
    """Wait for other migrators. By polling: a session that waits inside a statement can block what it waits for."""
    deadline = time.monotonic() + timeout_s
    while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another migrator has been at work for {timeout_s:g} s; if there is none, end the session that "
                f"holds advisory lock {LOCK} (pg_locks), then migrate again"
            )
        await asyncio.sleep(0.2)


async def _pending(connection: asyncpg.Connection, migrations: list[Migration]) -> list[Migration]:
    rows = await connection.fetch("select number, name, sha256 from ml_guard.migration order by number")
    recorded = {row["number"]: row for row in rows}
    known = {migration.number: migration for migration in migrations}
    for number, row in recorded.items():
        migration = known.get(number)
        if migration is None:
            raise SchemaAheadError(
                f"the database has migration {number:03}_{row['name']}, which these files do not: "
                "it was migrated by a newer ML Guard; run that version"
            )
        if (migration.name, migration.sha256) != (row["name"], row["sha256"]):
            raise MigrationError(
                f"migration {number:03}_{migration.name} is not what the database has had as "
                f"{number:03}_{row['name']}: a migration that was applied is never edited; restore the file and "
                "write the change as a new one"
            )
    return [migration for migration in migrations if migration.number not in recorded]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> Applied | None:
    """Apply one migration and record it; nothing, if another migrator has done it meanwhile."""
    begin = time.monotonic()
    try:
        if migration.outside:
            if await _recorded(connection, migration):
                return None
            for statement in statements(migration.sql):
                await connection.execute(statement)
            return await _note(connection, migration, begin)
        async with connection.transaction():
            if await _recorded(connection, migration):
                return None
            await connection.execute(migration.sql)
            return await _note(connection, migration, begin)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {migration.number:03}_{migration.name} failed: {error}") from error


async def _recorded(connection: asyncpg.Connection, migration: Migration) -> bool:
    return bool(
        await connection.fetchval(
            "select exists (select from ml_guard.migration where number = $1)", migration.number
        )
    )


async def _note(connection: asyncpg.Connection, migration: Migration, begin: float) -> Applied | None:
    seconds = time.monotonic() - begin
    applied_at = await connection.fetchval(
        """insert into ml_guard.migration (number, name, sha256, seconds) values ($1, $2, $3, $4)
           on conflict (number) do nothing returning applied_at""",
        migration.number,
        migration.name,
        migration.sha256,
        seconds,
    )
    if applied_at is None:
        return None
    return Applied(migration.number, migration.name, migration.sha256, applied_at, seconds)
