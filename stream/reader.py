"""Who logs in to the database and may not change its schema, and where do boards link to?

`ml-guard migrate` and the embedded stack call this after the migrations: both depend on settings, which migrations do
not know. What a login may do the migrations grant: Grafana's is a member of `ml_guard_reader`, the services' are the
roles `ml_guard_api` and `ml_guard_worker` themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64encode

import asyncpg

LOGIN = "ml_guard_grafana"
"""What Grafana logs in as."""
LONGEST_STATEMENT = "30s"
"""A panel that takes longer is of no use, and would hold others up."""
CONNECTIONS = 20
SERVICES = {"ml_guard_api": "api_database_password", "ml_guard_worker": "worker_database_password"}
"""The logins of the services, and the settings with their passwords."""
_ITERATIONS = 4096  # PostgreSQL's own

_MAKE_READER = f"""
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        raise insufficient_privilege using message = 'the role ml_guard_reader is not there';
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = '{LOGIN}') then
        create role {LOGIN};
        comment on role {LOGIN} is 'Reads ML Guard''s views and functions, for Grafana; see docs/grafana.md.';
    end if;
    alter role {LOGIN} with login inherit connection limit {CONNECTIONS};
    alter role {LOGIN} set default_transaction_read_only = on;
    alter role {LOGIN} set statement_timeout = '{LONGEST_STATEMENT}';
    grant ml_guard_reader to {LOGIN};
end
$$
"""  # noqa: S608  names and numbers of this module

_MAKE_SERVICE = """
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = '{name}') then
        raise insufficient_privilege using message = 'the role {name} is not there';
    end if;
    alter role {name} with login;
end
$$
"""


class LoginRefusedError(Exception):
    """The login cannot be made like this. The message says what the operator does instead."""

    retriable = False


async def set_login(database_url: str, password: str) -> None:
    """Make the login `ml_guard_grafana`, or give it this password. Raises `LoginRefusedError`."""
    await _make(database_url, LOGIN, password, _MAKE_READER, "ML_GUARD_GRAFANA_PASSWORD", "docs/grafana.md")


async def set_service_login(database_url: str, name: str, password: str) -> None:
    """Let the service with this role of `SERVICES` log in, with this password. Raises `LoginRefusedError`."""
    setting = f"ML_GUARD_{SERVICES[name].upper()}"
    await _make(database_url, name, password, _MAKE_SERVICE.format(name=name), setting, "docs/security.md")


async def _make(database_url: str, name: str, password: str, statement: str, setting: str, page: str) -> None:
    """Run `statement` and give the role `name` this password.

    The server is sent what it stores, never the password itself: statements can land in logs.

    Raises:
        LoginRefusedError: the user of `database_url` may not create roles, or the password is not ASCII.
    """
    if not password.isascii():  # others would have to be normalised first (RFC 4013)
        raise LoginRefusedError(f"{setting} holds a character that is not ASCII: choose another")
    connection = await asyncpg.connect(database_url, statement_cache_size=0)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            await connection.execute(f"alter role {name} password '{scram_secret(password)}'")
    except asyncpg.InsufficientPrivilegeError as error:
        raise LoginRefusedError(
            f"the login {name} cannot be made ({error}): make it as {page} says, and leave {setting} unset here"
        ) from error
    finally:
        await connection.close()


async def set_page(database_url: str, url: str) -> None:
    """Say where people open the dashboard; boards that link to it read this."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0)
    try:
        await connection.execute(
            """insert into ml_guard.page_address (page, url) values ('dashboard', $1)
               on conflict (page) do update set url = excluded.url, updated_at = now()
               where page_address.url <> excluded.url""",
            url.rstrip("/"),
        )
    finally:
        await connection.close()


def scram_secret(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores of a password: SCRAM-SHA-256 of RFC 7677, salted.

    >>> scram_secret("pencil", bytes(16))[:43]
    'SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA=='
    """
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(data: bytes) -> str:
    return b64encode(data).decode()
