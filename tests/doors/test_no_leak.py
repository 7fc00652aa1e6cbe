"""Can a key infer what other projects have? What is another's and what does not exist must answer alike, to the letter."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from api.database import Database
from api.door.keyring import FRESH_S, Keyring
from api.problems import Problem
from stream.store import keys
from tests.api.conftest import Door
from tests.api.test_doors import DOORS, EACH, P

OWN, ABSENT = "of-the-key", "not-project"


@pytest.fixture(scope="module")
def two_projects(door: Door) -> Door:
    with door.client() as client:
        for name in (P, OWN):
            client.post("/projects", json={"project_id": name, "zone": "UTC"}).raise_for_status()
    return door


def answer_about(door: Door, key: str, operation: tuple[str, str], project: str) -> Any:
    """Status, headers and text of the answer, with the project's name taken out of it."""
    attempt = DOORS[operation]
    whole = json.dumps({"path": attempt.path, "params": attempt.params, "json": attempt.body})
    request = json.loads(whole.replace(P, project))
    with door.client(key) as client:
        answer = client.request(
            operation[0],
            operation[1].format(**request["path"]),
            params=request["params"],
            json=request["json"],
        )
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.text.replace(project, "?")


@pytest.mark.parametrize(("method", "path"), EACH)
def test_another_project_answers_as_one_that_does_not_exist(
    two_projects: Door, method: str, path: str
) -> None:
    attempt = DOORS[method, path]
    if not attempt.names_project:
        assert P not in json.dumps([attempt.params, attempt.body, attempt.path]) or path == "/projects"
        return
    key = two_projects.key([attempt.scope or "read"], [OWN])
    foreign, absent = (answer_about(two_projects, key, (method, path), name) for name in (P, ABSENT))
    assert foreign == absent
    assert foreign[0] in (403, 404)


def foreign_ids(door: Door) -> dict[str, tuple[str, str]]:
    """By path: the id of something of the project `P`, and one that nothing has."""
    door.sql(
        """insert into ml_guard.dead_letter (topic, "partition", "offset", event_index, project_id, reason, detail,
            appended_at, dead_partition, dead_offset) values ($1, 0, 7, 0, $2, 'invalid_event', '', now(), 0, 0)
        on conflict do nothing""",
        door.settings.topic,
        P,
    )
    (alert,) = door.sql(
        """insert into ml_guard.alert (alert_id, project_id, model_id, endpoint, policy, condition, severity, state,
            opened_at, since, found_at, notified_at, headline, zone, details)
        values (gen_random_uuid()::text, $1, 'm', 'e', 'p', 'drift', 'info', 'open', now(), now(), now(), now(), 'h',
            'UTC', '{"features": []}')
        returning alert_id as id""",
        P,
    )
    door.key(["read"], [P])
    (key,) = door.sql("select key_id as id from ml_guard.api_key where project_ids = $1", [P])[:1]
    absent = "00000000-0000-4000-8000-000000000000"
    return {
        "/dead-letters": ("0-7-0", "0-8-0"),
        "/alerts": (alert["id"], absent),
        "/keys": (key["id"], "key_" + "0" * 16),
    }


def test_the_id_of_anothers_thing_answers_as_one_that_nothing_has(two_projects: Door) -> None:
    known = foreign_ids(two_projects)
    tried = set()
    for (method, path), attempt in DOORS.items():
        name = next((name for name in ("id", "key_id") if f"{{{name}}}" in path), None)
        if name is None:
            continue
        collection = "/" + path.split("/")[1]
        tried.add(collection)
        with two_projects.client(two_projects.key([attempt.scope or "read"], [OWN])) as client:
            answers = [
                (answer.status_code, answer.text.replace(id_, "?"))
                for id_ in known[collection]
                for answer in [client.request(method, path.format(**{name: id_}), json=attempt.body)]
            ]
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == 404
        with two_projects.client() as everything:  # the thing is really there
            if method == "get":
                assert everything.get(path.format(**{name: known[collection][0]})).status_code != 404
    assert tried == set(known)


async def test_a_key_revoked_elsewhere_is_believed_for_a_second_and_no_longer(two_projects: Door) -> None:
    secret = two_projects.key(["read"])
    now = 100.0
    database = Database(two_projects.settings.database_url)
    await database.open()
    keyring = Keyring(database, None, lambda: now)
    try:
        assert (await keyring.open(secret)).scopes == {"read"}
        connection = await asyncpg.connect(two_projects.settings.database_url)
        await connection.execute(
            "update ml_guard.api_key set revoked_at = now() where key_sha256 = $1", keys.digest(secret)
        )
        await connection.close()
        now += FRESH_S * 0.99
        assert (await keyring.open(secret)).scopes == {"read"}
        now += FRESH_S * 0.02
        with pytest.raises(Problem, match="invalid_key"):
            await keyring.open(secret)
    finally:
        await database.close()
