"""How do races between several backends run? On a PostgreSQL of its own, with the plain parts of the migrations.

The embedded TimescaleDB has one backend, which serves its clients in turn; a server with a process a connection lets
two transactions really meet. It has no TimescaleDB: hypertables are then tables.
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
from stream.migrate import read, statements

BINARIES = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"
PLAIN = "plain"
_TIMESCALES_OWN = re.compile(r"timescaledb|traffic_(hour|day)_utc")
"""Files about continuous aggregates and policies, which plain tables do without."""
_HYPERTABLE = "create_hypertable"


def plain_statements() -> list[str]:
    """What makes the tables on a PostgreSQL without TimescaleDB, from the migrations."""
    return [
        statement
        for migration in read()
        if not _TIMESCALES_OWN.search(migration.sql)
        for statement in statements(migration.sql)
        if _HYPERTABLE not in statement
    ]


class Native:
    """A server with a folder of its own, run by the user `postgres` where the test's own user is root."""

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
            await connection.execute("create schema ml_guard")
            for statement in plain_statements():
                await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(BINARIES / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", OWNER, "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def __enter__(self) -> Native:
        if os.getuid() == 0:
            shutil.chown(self.folder, OWNER)
        self._run("initdb", "-D", str(self.data), "-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-p {self.port} -k '' -c listen_addresses={HOST} -c fsync=off -c shared_buffers=32MB"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-l", log, "-o", options, "start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)
