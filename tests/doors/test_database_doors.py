"""Do services reach a database by TLS only, as roles that cannot change its schema, and does nobody else?"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from bench.fleet import Fleet
from embedded.process import HOST
from stream.reader import SERVICES, set_service_login
from stream.settings import Settings
from stream.store.pool import WORKER_SETTINGS, Pool, connect
from stream.store.refusal import REFUSED, why
from stream.store.session import SessionError, require_session
from tests.api.conftest import DEMO, Door, result_of, served
from tests.chaos.native import OWNER, Native
from tests.doors.secured import Authority

PASSWORD = "the-password-of-a-login"
OWNERS = "trusted"
"""What `Native.url` has."""
WAIT_S = 60
ROOT = Path(__file__).parents[2]


class SecuredNative(Native):
    """A server that takes nobody without TLS and a password."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.authority = Authority(folder / "certificates")
        self.stranger = Authority(folder / "stranger")
        certificate, key = self.authority.signed("server", HOST)
        (self.folder / "owner").write_text(OWNERS)
        for path in (certificate, key):
            target = Path(shutil.copy(path, self.folder))
            target.chmod(0o600)
        if os.getuid() == 0:
            for path in self.folder.iterdir():
                shutil.chown(path, OWNER)
        self.initdb = ("--auth=scram-sha-256", f"--pwfile={self.folder}/owner")
        self.settings = (
            "ssl=on", f"ssl_cert_file={self.folder}/server.crt", f"ssl_key_file={self.folder}/server.key",
        )  # fmt: skip

    def prepare(self) -> None:
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")

    def url(self, database: str) -> str:
        return f"{super().url(database)}?sslmode=verify-full&sslrootcert={self.authority.certificate}"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNative]:
    with SecuredNative(tmp_path_factory.mktemp("native")) as server:
        yield server


@pytest.fixture(scope="module")
def owners_url(native: SecuredNative) -> str:
    """A database with the plain tables, in which both services may log in."""
    url: str = result_of(native.database())
    for name in SERVICES:
        result_of(set_service_login(url, name, PASSWORD))
    return url


def login(url: str, name: str) -> str:
    return url.replace(f"{OWNER}:{OWNERS}", f"{name}:{PASSWORD}")


def changed(url: str, **parts: str) -> str:
    """The address with another user, host or query."""
    before, _, query = url.partition("?")
    given = dict(part.split("=") for part in query.split("&")) | parts
    host = given.pop("host", HOST)
    return f"{before.replace(HOST, host)}?{'&'.join(f'{name}={value}' for name, value in given.items() if value)}"


async def test_api_and_worker_do_their_work_as_roles_of_their_own_and_encrypted(
    kafka: str, topic: str, owners_url: str, tmp_path: Path
) -> None:
    api, worker = (login(owners_url, name) for name in SERVICES)
    settings = Settings(
        kafka=kafka,
        topic=topic,
        dead_topic=f"{topic}.dead",
        database_url=api,
        demo_key=DEMO,
        settle_s=0,
        grace_s=0,
    )
    with (
        Fleet(kafka, worker, topic, tmp_path, {"settle_s": "0", "grace_s": "0"}) as fleet,
        served(settings) as at,
    ):
        fleet.start()
        door = Door(at, settings)
        project = door.project()
        with door.client() as client:
            for day in ("2026-11-02", "2026-11-03"):
                event = {"project_id": project, "model_id": "m", "timestamp": f"{day}T12:00:00Z"}
                answer = client.post("/events", json=[event | {"features": {"age": 1.0}}, {"bad": 1}])
                assert answer.json()["accepted"] == 1, answer.text
            deadline, closed = time.monotonic() + WAIT_S, []
            while len(closed) < 2:
                assert time.monotonic() < deadline, fleet.logs()
                time.sleep(0.2)
                rows = client.get("/metrics/daily", params={"project_id": project}).json()["items"]
                closed = [row for row in rows if (row["status"], row["requests"]) == ("final", 1)]
            await all_encrypted(owners_url)
            answer = client.post("/purge", json={"project_id": project, "model_id": "m", "day": "2026-11-02"})
            assert (answer.status_code, answer.json().get("events")) == (200, 1), answer.text
            answer = client.delete(f"/projects/{project}", params={"confirm": project})
            assert answer.status_code == 200, answer.text
        said = fleet.logs()
    assert "permission denied" not in said
    assert PASSWORD not in said


async def all_encrypted(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """select a.usename::text as name, bool_and(s.ssl) as ssl from pg_stat_activity a
               join pg_stat_ssl s using (pid) where a.datname = current_database() and a.pid <> pg_backend_pid()
               group by 1 order by 1"""
        )
        assert [tuple(row) for row in rows] == [(name, True) for name in SERVICES]
    finally:
        await connection.close()


REFUSED_STATEMENTS = (
    "create table ml_guard.another (a integer)",
    "create table public.another (a integer)",
    "create schema another",
    "alter table ml_guard.project add column another integer",
    "drop table ml_guard.alert",
    "drop schema ml_guard cascade",
    "truncate ml_guard.project",
    "create or replace view ml_guard.daily_metrics as select 1",
    "create function ml_guard.another() returns integer language sql as 'select 1'",
    "insert into ml_guard.migration (number, name, sha256, seconds) values (999, 'x', 'x', 0)",
    "alter role ml_guard_api superuser",
    "grant select on ml_guard.project to public",
    "set role postgres",
)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_services_login_changes_no_schema(owners_url: str, name: str) -> None:
    connection = await asyncpg.connect(login(owners_url, name))
    try:
        assert await connection.fetchval("select session_user::text") == name
        for statement in REFUSED_STATEMENTS:
            if statement.startswith("grant"):  # PostgreSQL warns, and grants nothing
                await connection.execute(statement)
                continue
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert not await connection.fetchval(
            "select has_table_privilege('public', 'ml_guard.project', 'select')"
        )
    finally:
        await connection.close()


WRONG = {
    "another authority": ({"sslrootcert": "stranger"}, "is not trusted"),
    "another name": ({"host": "localhost"}, "is not trusted .*ostname mismatch"),
    "plain text": ({"sslmode": "disable", "sslrootcert": ""}, "sslmode=verify-full in ML_GUARD_DATABASE_URL encrypts"),
    "a file that is not there": ({"sslrootcert": "/nowhere.pem"}, "sslrootcert= .* names /nowhere.pem, where no file is"),
    "a wrong password": ({"password": PASSWORD + "!"}, "does not know this user with this password"),
}  # fmt: skip


def wrong(native: SecuredNative, url: str, what: str) -> str:
    parts = dict(WRONG[what][0])
    if parts.get("sslrootcert") == "stranger":
        parts["sslrootcert"] = str(native.stranger.certificate)
    if (password := parts.pop("password", None)) is not None:
        url = url.replace(f":{PASSWORD}@", f":{password}@")
    return changed(url, **parts)


@pytest.mark.parametrize("what", WRONG)
async def test_whoever_is_refused_is_told_why_without_the_password(
    native: SecuredNative, owners_url: str, what: str
) -> None:
    url = wrong(native, login(owners_url, "ml_guard_worker"), what)
    with pytest.raises(REFUSED) as refused:
        await connect(url)
    said = why(url, refused.value)
    assert re.search(WRONG[what][1], said), said
    assert PASSWORD not in said


def test_worker_migrate_doctor_and_api_say_it_too(
    native: SecuredNative, kafka: str, topic: str, owners_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = wrong(native, login(owners_url, "ml_guard_worker"), "another authority")
    environment = {
        **os.environ, "ML_GUARD_KAFKA": kafka, "ML_GUARD_DATABASE_URL": url,
        "ML_GUARD_TOPIC": topic, "ML_GUARD_DEAD_TOPIC": f"{topic}.dead",
    }  # fmt: skip
    ml_guard = str(Path(sys.executable).parent / "ml-guard")
    for command in ([sys.executable, "-m", "stream"], [ml_guard, "migrate"], [ml_guard, "doctor", "--json"]):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode in (1, 2), said
        assert "the certificate that the database at" in said
        assert "is not trusted" in said
        assert "Traceback" not in said
        assert PASSWORD not in said
    settings = Settings(kafka=kafka, topic=topic, dead_topic=f"{topic}.dead", database_url=url)
    with served(settings) as at, Door(at, settings).client() as client:
        state = client.get("/ready").json()
        assert state["database"]["ok"] is False
        assert PASSWORD not in json.dumps(state)
    assert "no connection to the database: the certificate that the database at" in caplog.text
    assert PASSWORD not in caplog.text


class Ignored:
    """A pooler of sessions that takes nothing over of what a client asks at the start."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self._url)
        yield connection
        await connection.close()


class Shared(Ignored):
    """A pooler of transactions, of which two connections meet in one session."""

    _one: Any = None

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        self._one = self._one or await asyncpg.connect(self._url, server_settings=WORKER_SETTINGS)
        yield self._one


async def test_a_worker_whose_session_takes_less_than_it_asks_for_does_not_start(owners_url: str) -> None:
    name = "ml_guard_worker"
    url = login(owners_url, name)
    with pytest.raises(SessionError) as refused:
        await require_session(cast(Pool, Ignored(url)))
    for part in (
        "lock_timeout is 0 instead of 5s",
        "idle_in_transaction_session_timeout is 0 instead of 10s",
    ):
        assert part in str(refused.value)
    with pytest.raises(SessionError, match="shared between connections"):
        await require_session(cast(Pool, Shared(url)))
    (statements,) = re.findall(
        r"```sql\n(alter role .*?)```", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"), re.DOTALL
    )
    owner = await asyncpg.connect(owners_url)
    try:
        await owner.execute(statements)
        await require_session(cast(Pool, Ignored(url)))
        await owner.execute(f"alter role {name} reset all")
    finally:
        await owner.close()


async def test_a_pooler_that_refuses_what_we_ask_for_is_named(owners_url: str) -> None:
    error = asyncpg.ProtocolViolationError("unsupported startup parameter: lock_timeout")
    assert isinstance(error, REFUSED)
    assert "a pooler before the database" in why(owners_url, error)
