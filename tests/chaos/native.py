"""How do races between several backends run? On a PostgreSQL of its own, with the migrations in plain form.

The embedded TimescaleDB has one backend, which serves its clients in turn; a server with a process a connection lets
two transactions really meet. It has no TimescaleDB: hypertables are tables there, continuous aggregates views.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType

import asyncpg

from embedded.process import HOST, free_port
from stream.migrate import _RECORD, read, statements

BINARIES = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"
PLAIN = "plain"
_CONTINUOUS = re.compile(r"create materialized view (\S+)\s+with \(timescaledb\.continuous[^)]*\) as")
_LEFT_OUT = re.compile(
    r"^\s*(--[^\n]*\s+)*(alter table \S+ set \(\s*timescaledb\.|create index traffic_\w+_utc)"
)
_STAND_INS = """
create function public.time_bucket(width interval, at timestamptz) returns timestamptz language sql immutable
    as $$ select date_bin(width, at, timestamptz '2000-01-03 00:00+00') $$;
create function public.by_range(name, interval) returns text language sql immutable as $$ select 'range' $$;
create function public.create_hypertable(regclass, text, create_default_indexes boolean) returns void
    language sql as $$ select $$;
create function public.add_compression_policy(regclass, compress_after interval) returns void language sql as $$ select $$;
create function public.add_retention_policy(regclass, drop_after interval) returns void language sql as $$ select $$;
create function public.add_continuous_aggregate_policy(
    regclass, start_offset interval, end_offset interval, schedule_interval interval) returns void
    language sql as $$ select $$;
create function public.remove_compression_policy(regclass, if_exists boolean) returns void language sql as $$ select $$;
create function public.remove_retention_policy(regclass, if_exists boolean) returns void language sql as $$ select $$;
create function public.remove_continuous_aggregate_policy(regclass, if_exists boolean) returns void
    language sql as $$ select $$;
create function public.add_job(text, interval) returns integer language sql as $$ select 1 $$;
create procedure public.refresh_continuous_aggregate(regclass, timestamptz, timestamptz) language sql as $$ select $$;
set allow_system_table_mods = on;
insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
select 16383, 'timescaledb', 10, 'public'::regnamespace, false, '0';
set search_path = pg_catalog, public;
"""
"""TimescaleDB's functions that migrations and workers call, without TimescaleDB."""


def plain_scripts() -> list[str]:
    """The migrations, with hypertables as tables and continuous aggregates as views."""
    scripts = []
    for migration in read():
        if "timescaledb." not in migration.sql:
            scripts.append(migration.sql)
            continue
        kept = [statement for statement in statements(migration.sql) if not _LEFT_OUT.match(statement)]
        scripts += [
            _CONTINUOUS.sub(r"create view \1 as", statement).replace("with no data", "") for statement in kept
        ]
    return scripts


class Native:
    """A server with a folder of its own, run by the user `postgres` where the test's own user is root."""

    initdb: tuple[str, ...] = ("--auth=trust",)
    settings: tuple[str, ...] = ()
    """More of its settings, `name=value`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ml-guard-postgres-"))
        self.data = self.folder / "data"

    def url(self, database: str) -> str:
        """One of its databases."""
        return f"postgresql://{OWNER}:trusted@{HOST}:{self.port}/{database}"

    async def database(self) -> str:
        """A new database with the plain tables; its URL."""
        name = f"db_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            if not await connection.fetchval("select 1 from pg_database where datname = $1", PLAIN):
                await connection.execute(f"create database {PLAIN}")
                await self._migrate()
            await connection.execute(f"create database {name} template {PLAIN}")
        finally:
            await connection.close()
        return self.url(name)

    async def _migrate(self) -> None:
        connection = await asyncpg.connect(self.url(PLAIN))
        try:
            await connection.execute(_RECORD)
            await connection.execute(_STAND_INS)
            for script in plain_scripts():
                await connection.execute(script)
            await connection.executemany(
                "insert into ml_guard.migration (number, name, sha256, seconds) values ($1, $2, $3, 0)",
                [(migration.number, migration.name, migration.sha256) for migration in read()],
            )
        finally:
            await connection.close()

    def prepare(self) -> None:
        """Called between making its folder and starting it."""

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(BINARIES / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", OWNER, "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def __enter__(self) -> Native:
        if os.getuid() == 0:
            shutil.chown(self.folder, OWNER)
        self._run("initdb", "-D", str(self.data), "-U", OWNER, *self.initdb, "--no-sync", "-E", "UTF8")
        self.prepare()
        options = f"-p {self.port} -k '' -c listen_addresses={HOST} -c fsync=off -c shared_buffers=32MB"
        options += "".join(f" -c {setting}" for setting in self.settings)
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-l", log, "-o", options, "start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)
