"""Do keys hold what they promise: shown once, kept as a hash, never more than their maker, ended at once?"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.api.conftest import Door


def test_a_key_is_shown_once_and_kept_as_sha256(door: Door) -> None:
    with door.client() as client:
        made = client.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": None})
        assert made.status_code == 201
        secret, key_id = made.json()["key"], made.json()["key_id"]
        assert re.fullmatch(r"mlg_[A-Za-z0-9_-]{43}", secret)
        listed = client.get("/keys").text
    assert key_id in listed
    assert secret not in listed
    (row,) = door.sql("select * from ml_guard.api_key where key_id = $1", key_id)
    assert row["key_sha256"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in str(dict(row))


def test_two_keys_are_never_alike(door: Door) -> None:
    with door.client() as client:
        body = {"name": "k", "scopes": ["read"], "project_ids": None}
        made = {client.post("/keys", json=body).json()["key"] for _ in range(20)}
    assert len(made) == 20


def test_a_revoked_key_opens_nothing_from_that_moment(door: Door) -> None:
    with door.client() as admin:
        made = admin.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": None}).json()
        with door.client(made["key"]) as client:
            assert client.get("/keys/current").json()["key_id"] == made["key_id"]
            assert admin.delete(f"/keys/{made['key_id']}").status_code == 204
            assert client.get("/keys/current").status_code == 401
        assert admin.delete(f"/keys/{made['key_id']}").status_code == 204
        shown = {key["key_id"]: key for key in admin.get("/keys", params={"limit": 1000}).json()["items"]}
    assert shown[made["key_id"]]["revoked_at"] is not None


def test_a_bound_admin_makes_no_key_beyond_itself(door: Door) -> None:
    mine, other = door.project(), door.project()
    with door.client(door.key(["admin"], [mine])) as client:
        everything = client.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": None})
        assert (everything.status_code, everything.json()["code"]) == (422, "invalid_request")
        others = client.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": [mine, other]})
        assert (others.status_code, others.json()["code"]) == (404, "unknown_project")
        assert client.post("/keys", json={"name": "k", "scopes": ["admin"], "project_ids": [mine]}).is_success
        assert client.post("/projects", json={"project_id": "new", "zone": "UTC"}).status_code == 403


def test_a_bound_admin_neither_sees_nor_revokes_other_keys(door: Door) -> None:
    mine, other = door.project(), door.project()
    door.key(["read"], [other])
    (foreign,) = door.sql("select key_id from ml_guard.api_key where project_ids = $1", [other])
    with door.client(door.key(["admin"], [mine])) as client:
        assert foreign["key_id"] not in client.get("/keys", params={"limit": 1000}).text
        assert client.delete(f"/keys/{foreign['key_id']}").json()["code"] == "unknown_key"
        assert client.delete("/keys/key_not_there").json()["code"] == "unknown_key"


def test_scopes_imply_the_smaller_ones_and_ingest_reads_nothing(door: Door) -> None:
    project = door.project()
    for scope, may_read in (("ingest", 403), ("read", 200), ("operate", 200), ("admin", 200)):
        with door.client(door.key([scope], [project])) as client:
            assert client.get("/models").status_code == may_read, scope


def test_the_first_key_is_made_by_the_owner_of_the_database_without_one(door: Door) -> None:
    command = [Path(sys.executable).parent / "ml-guard", "key", "create", "me", "--in-database"]
    environment = {**os.environ, "ML_GUARD_DATABASE_URL": door.owners_url, "ML_GUARD_ENV": "production"}

    def typed(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)

    made = typed("--scope", "admin")
    assert (made.returncode, made.stderr.strip()) == (0, "Keep it now: it cannot be shown again.")
    with door.client(made.stdout.strip()) as client:
        assert client.get("/keys/current").json()["project_ids"] is None
        assert client.post("/projects", json={"project_id": "of-the-first-key", "zone": "UTC"}).is_success
    for wrong, why in (
        ("--scope=root", "there is no scope root"),
        ("--project=shop", "is for every project"),
    ):
        refused = typed("--scope", "admin", wrong)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert why in refused.stderr
