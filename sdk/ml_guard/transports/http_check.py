"""Would the bridge take events of this client? Asked without sending one."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from ml_guard.answers import error_of
from ml_guard.checking import Step

MOST_SKEW_S = 60.0
"""A clock that is off by more puts events near midnight into the wrong day; the server refuses what is far ahead."""

_SENDS = frozenset(("ingest", "admin"))


class _Key(msgspec.Struct):
    name: str = ""
    scopes: list[str] = []
    project_ids: list[str] | None = None


class _Ready(msgspec.Struct):
    status: str = ""
    reasons: list[str] = []


def check(client: httpx.Client, base_url: str, project_id: str | None, timeout_s: float) -> list[Step]:
    """Address, clock, key, scope, project and what is behind the bridge; ends where the rest rests on."""
    client.timeout = httpx.Timeout(timeout_s)
    started = time.time()
    try:
        health = client.get("/api/v1/health")
    except httpx.HTTPError as error:
        seen = f"{base_url} does not answer ({type(error).__name__}: {error})"
        return [Step("address", False, seen, "is the server running? check base_url= or ML_GUARD_URL")]
    if health.status_code != 200 or b'"status"' not in health.content:
        seen = f"{base_url} answers {health.status_code}, but not as ML Guard does"
        return [Step("address", False, seen, "check base_url= or ML_GUARD_URL")]
    steps = [Step("address", True, f"{base_url} answers"), *_clock(health, (started + time.time()) / 2)]
    try:
        steps += _door(client, project_id)
        steps.append(_behind(client))
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        steps.append(
            Step("answers", False, f"an answer broke off or was unreadable ({type(error).__name__})")
        )
    return steps


def _clock(response: httpx.Response, here: float) -> list[Step]:
    try:
        there = parsedate_to_datetime(response.headers["date"]).timestamp() + 0.5
    except (KeyError, ValueError, TypeError):
        return []
    skew = here - there
    if abs(skew) <= MOST_SKEW_S:
        return [Step("clock", True, "agrees with the server's")]
    seen = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    return [Step("clock", False, seen, "set it by NTP: events are counted in the day of their timestamps")]


def _door(client: httpx.Client, project_id: str | None) -> list[Step]:
    answer = client.get("/api/v1/keys/current")
    if answer.status_code != 200:
        cure = "give api_key= or ML_GUARD_API_KEY a key with the scope `ingest`"
        return [Step("key", False, str(error_of(answer)), cure)]
    key = msgspec.json.decode(answer.content, type=_Key)
    steps = [Step("key", True, f"{key.name!r} is valid")]
    if not _SENDS & set(key.scopes):
        seen = f"the key may only {', '.join(key.scopes) or 'do nothing'}"
        return [*steps, Step("scope", False, seen, "use a key with the scope `ingest`")]
    steps.append(Step("scope", True, "the key may send events"))
    if project_id is not None:
        steps.append(_project(client, project_id))
    return steps


def _project(client: httpx.Client, project_id: str) -> Step:
    day = datetime.now(timezone.utc).date().isoformat()
    nothing = {"project_id": project_id, "day": day, "outcome": "sent", "reason": "", "events": 0}
    report = {"client_id": str(uuid.uuid4()), "counts": [nothing]}
    answer = client.post("/api/v1/client-counts", json=report)
    if answer.status_code == 404 and b"unknown_project" not in answer.content:
        return Step("project", True, "the server is of a release that cannot be asked")
    if answer.status_code == 404:
        seen = f"{project_id} is unknown, or the key is not for it"
        return Step("project", False, seen, "`ml-guard project create` makes it; or use a key for it")
    if answer.status_code != 200:
        return Step("project", False, str(error_of(answer)))
    return Step("project", True, f"{project_id} takes events of this key")


def _behind(client: httpx.Client) -> Step:
    ready = msgspec.json.decode(client.get("/api/v1/ready").content, type=_Ready)
    if ready.status == "ready":
        return Step("pipeline", True, "the server's Kafka and database answer")
    reasons = "; ".join(ready.reasons) or f"it says {ready.status!r}"
    return Step("pipeline", False, f"the server is not ready: {reasons}", "`ml-guard doctor` says more")
