"""Whose key came with this request? Looks in the database at most once a second for each key."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from api.database import Database
from api.door.limits import RateLimit
from api.problems import Problem
from stream.store import keys

FRESH_S = 1.0
"""How long an answer of the database is believed. A revocation is felt at once by the process that took it, and by
other processes within this time."""

STALE_S = 900.0
"""How long a key that was good is still believed while the database is away: events go to Kafka, and need only that."""

ENTRIES = 10_000

IMPLIED: dict[str, frozenset[str]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "operate": frozenset({"operate", "read"}),
    "admin": frozenset({"admin", "operate", "read", "ingest"}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a key, what it may do, and for which projects (None: all)."""

    key: keys.Key
    scopes: frozenset[str] = field(default_factory=frozenset)

    @property
    def project_ids(self) -> frozenset[str] | None:
        """The projects that the key is bound to; None: all."""
        return self.key.project_ids

    def sees(self, project_id: str) -> bool:
        """May the key touch this project?"""
        return self.key.project_ids is None or project_id in self.key.project_ids


def principal(key: keys.Key) -> Principal:
    """The key with the scopes that its scopes imply."""
    return Principal(key, frozenset[str]().union(*(IMPLIED.get(scope, frozenset()) for scope in key.scopes)))


class Keyring:
    """Keys by their hash. A key that is wrong is not told apart from one that was revoked."""

    def __init__(
        self,
        database: Database,
        demo_key: str | None,
        clock: Callable[[], float] = time.monotonic,
        wrong_per_s: float = 10.0,
    ) -> None:
        self._database, self._clock = database, clock
        self._wrong = RateLimit(wrong_per_s, clock)
        self._forgotten = 0
        self._entries: OrderedDict[bytes, tuple[Principal | None, float]] = OrderedDict()
        self._demo: tuple[bytes, Principal] | None = None
        if demo_key:
            epoch = keys.Key("demo", "demo", frozenset({"admin"}), None, keys.EPOCH)
            self._demo = (keys.digest(demo_key), principal(epoch))

    async def open(self, secret: str | None, address: str = "") -> Principal:
        """The principal of a key. Raises `invalid_key`, and `rate_limited` where this address tried too many.

        Keys that were good a moment ago pass whatever else came from their address.
        """
        found = None if not secret or len(secret) > 256 else await self._look(secret, address)
        if found is None:
            if secret:
                self._check(address)
                self._wrong.spend(address, 1)
            raise Problem(
                "invalid_key",
                "Send a valid key in the header X-API-Key; `ml-guard key create` makes one.",
                headers={"WWW-Authenticate": 'ApiKey realm="ML Guard", header="X-API-Key"'},
            )
        return found

    def forget(self, sha256: bytes) -> None:
        """Look the key up anew at its next use: it was revoked."""
        self._forgotten += 1
        self._entries.pop(sha256, None)

    def forget_all(self) -> None:
        """Look every key up anew: what they are bound to has changed."""
        self._forgotten += 1
        self._entries.clear()

    def _check(self, address: str) -> None:
        if address:  # empty: not a door, but a stream that looks whether its key still holds
            self._wrong.check(
                address,
                "wrong_keys_per_s",
                "Too many keys that are not valid came from this address; wait a moment.",
            )

    async def _look(self, secret: str, address: str) -> Principal | None:
        sha256 = keys.digest(secret)
        if self._demo is not None and hmac.compare_digest(sha256, self._demo[0]):
            return self._demo[1]
        if not secret.startswith(keys.PREFIX):
            return None
        known, at = self._entries.get(sha256, (None, -STALE_S))
        age = self._clock() - at
        if age < FRESH_S:
            return known
        if known is None:
            self._check(address)
        forgotten = self._forgotten
        try:
            async with self._database.connection() as connection:
                key = await keys.find(connection, sha256)
        except Problem:
            if known is not None and age < STALE_S:
                return known
            raise
        found = None if key is None else principal(key)
        if forgotten != self._forgotten:  # revoked perhaps since it was read
            return found
        self._entries[sha256] = (found, self._clock())
        self._entries.move_to_end(sha256)
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)
        return found
