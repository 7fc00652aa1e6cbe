"""Whose key is this, and what may it do? Keys are stored as SHA-256 only; the key itself is shown once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from stream.store.pool import Connection

SCOPES = ("ingest", "read", "operate", "admin")
NO_TABLE = asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError

PREFIX = "mlg_"
"""So that secret scanners and people recognise a key that leaked."""

SECRET_BYTES = 32
"""256 random bits: guessing is hopeless, so a fast hash suffices and no salt is needed."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""When a key was created that no table holds."""

_COLUMNS = "key_id, name, scopes, project_ids, created_at, revoked_at"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. `project_ids` None: every project."""

    key_id: str
    name: str
    scopes: frozenset[str]
    project_ids: frozenset[str] | None
    created_at: datetime
    revoked_at: datetime | None = None


def new_secret() -> str:
    """A new key: `mlg_` and 43 characters of base64url."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> bytes:
    """What is stored of a key.

    >>> digest("demo-key").hex()[:16]
    'c48a01f49fd0f2cc'
    """
    return hashlib.sha256(secret.encode()).digest()


async def create(
    connection: Connection, name: str, scopes: Sequence[str], project_ids: Sequence[str] | None
) -> tuple[Key, str]:
    """Add a key; returns it with its secret, which nothing can show again."""
    secret = new_secret()
    row = await connection.fetchrow(
        f"""insert into ml_guard.api_key (key_id, name, key_sha256, scopes, project_ids)
        values ($1, $2, $3, $4, $5) returning {_COLUMNS}""",  # noqa: S608
        "key_" + secrets.token_hex(8),
        name,
        digest(secret),
        sorted(set(scopes)),
        None if project_ids is None else sorted(set(project_ids)),
    )
    assert row is not None
    return _key(row), secret


async def create_in(database_url: str, name: str, scopes: Sequence[str]) -> tuple[Key, str]:
    """Add a key for every project by a connection of its own, where there is no key yet to ask the API with."""
    connection = await asyncpg.connect(database_url)
    try:
        return await create(connection, name, scopes, None)
    finally:
        await connection.close()


async def find(connection: Connection, sha256: bytes) -> Key | None:
    """The key with this hash, if it is not revoked."""
    row = await connection.fetchrow(
        f"select {_COLUMNS} from ml_guard.api_key where key_sha256 = $1 and revoked_at is null",  # noqa: S608
        sha256,
    )
    return None if row is None else _key(row)


async def read(
    connection: Connection, *, project_ids: Sequence[str] | None, after: str | None = None, limit: int = 100
) -> list[Key]:
    """Keys by id; with `project_ids` only those that reach no further than these projects."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from ml_guard.api_key
        where ($1::text[] is null or project_ids <@ $1) and ($2::text is null or key_id > $2)
        order by key_id limit $3""",  # noqa: S608
        None if project_ids is None else list(project_ids),
        after,
        limit,
    )
    return [_key(row) for row in rows]


async def revoke(connection: Connection, key_id: str, *, project_ids: Sequence[str] | None) -> bytes | None:
    """End a key for good and return its hash; None if there is none that reaches no further than `project_ids`."""
    sha256: bytes | None = await connection.fetchval(
        """update ml_guard.api_key set revoked_at = coalesce(revoked_at, now())
        where key_id = $1 and ($2::text[] is null or project_ids <@ $2) returning key_sha256""",
        key_id,
        None if project_ids is None else list(project_ids),
    )
    return sha256


def _key(row: asyncpg.Record) -> Key:
    projects = row["project_ids"]
    return Key(
        row["key_id"],
        row["name"],
        frozenset(row["scopes"]),
        None if projects is None else frozenset(projects),
        row["created_at"],
        row["revoked_at"],
    )
