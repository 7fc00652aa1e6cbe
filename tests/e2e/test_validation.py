"""Does the validation hold against the product, and fail against one that was tampered with?

Each sabotage is done behind the oracle's back: to the records on their way, or to what is stored.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta

import asyncpg
import pytest

from ml_guard.replay import validate, waiting
from ml_guard.replay.catalogue import PROJECTS
from ml_guard.replay.claims import Claim
from ml_guard.replay.oracle import day_bounds, instant
from ml_guard.replay.record import Record
from ml_guard.replay.records import Phase
from ml_guard.replay.session import Session, Tamper
from ml_guard.replay.topic import make_topic
from tests.e2e.conftest import Product

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SMALL = 8_000
LONG_DAY = day_bounds(date(2025, 11, 2), "America/Toronto")
QUIET_S = 6.0
"""How long a sabotaged day is waited for; much longer than a restatement waits for quiet on this product."""


def test_validation_sh_passes_every_claim(product: Product) -> None:
    done = product.run("./validation.sh", "--events", "20000", "--topic", product.topic)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[0].startswith('PASS  the health endpoint says ok: {"status":"ok"}')
    assert len(lines) > 20
    assert all(re.fullmatch(r"PASS  .+: .+ \(bound: .+\)", line) for line in lines[:-1])
    assert lines[-1] == f"{len(lines) - 1} claims hold, 0 do not."


def test_validation_sh_passes_for_days_across_a_change_of_clocks(product: Product) -> None:
    """America/Toronto 2025-11-02 has 25 hours and is among the scored days."""
    options = ("--events", "20000", "--anchor", "2025-11-03", "--topic", product.topic, "--json")
    done = product.run("./validation.sh", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    claims = json.loads(done.stdout)
    assert (claims["failed"], claims["passed"] > 20) == (0, True)


def test_validation_sh_fails_where_nobody_answers(product: Product) -> None:
    product = replace(product, environment=product.environment | {"ML_GUARD_URL": "http://127.0.0.1:1"})
    done = product.run("./validation.sh")
    assert done.returncode != 0
    assert "nobody answers" in done.stdout + done.stderr


def small_session(product: Product, suffix: str, tamper: Tamper | None = None) -> Session:
    """One project's topic of a few thousand events; only what a sabotage keeps from coming is not waited for long."""
    topic = replace(make_topic(7, events=SMALL, suffix=suffix, calendar_days=True), projects=PROJECTS[:1])
    quiet_s = waiting.QUIET_S if tamper is None else QUIET_S
    return Session(
        product.client(), topic, product.kafka, events_topic=product.topic, tamper=tamper, quiet_s=quiet_s
    )


def failures(session: Session) -> dict[str, Claim]:
    return {claim.says: claim for claim in validate.judge(session) if not claim.holds}


def single(records: list[Record]) -> int:
    """The place of a good event that travels alone, in the middle."""
    found = enumerate(records[len(records) // 2 :], len(records) // 2)
    return next(i for i, record in found if b'"events"' not in record.value and not record.dead)


def drop_one(phase: Phase, records: list[Record]) -> list[Record]:
    if phase == "scored":
        del records[single(records)]
    return records


def repeat_one(phase: Phase, records: list[Record]) -> list[Record]:
    if phase == "scored":
        place = single(records)
        records.insert(place, records[place])
    return records


def shift_a_day(phase: Phase, records: list[Record]) -> list[Record]:
    """The events of the day of 25 hours are an hour later by their timestamps, so that its last ones leave it."""
    return [_an_hour_later(record) if phase == "baseline" else record for record in records]


def _an_hour_later(record: Record) -> Record:
    body = json.loads(record.value)
    if "events" in body or not LONG_DAY[0] <= instant(body["timestamp"]) < LONG_DAY[1]:
        return record
    body["timestamp"] = (instant(body["timestamp"]) + timedelta(hours=1)).isoformat()
    return replace(record, value=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("suffix", "tamper", "noticed"),
    [
        ("dropped", drop_one, ["requests of", "merges what was sent", "bin counts"]),
        ("repeated", repeat_one, ["requests of", "merges what was sent", "bin counts"]),
        ("shifted", shift_a_day, ["first and the last event", "requests of"]),
    ],
)
def test_it_fails_when_records_were_tampered_with(
    product: Product, suffix: str, tamper: Tamper, noticed: list[str]
) -> None:
    session = small_session(product, suffix, tamper)
    with session.client:
        validate.run(session)
        failed = failures(session)
    for part in noticed:
        assert any(part in says for says in failed), f"{part!r} did not notice: {sorted(failed)}"


Sabotage = Callable[[str], list[str]]


def move_an_edge(project_id: str) -> list[str]:
    what = "update ml_guard.baseline_feature set edges[4] = edges[4] + (edges[5] - edges[4]) / 4"
    return [f"{what} where project_id = '{project_id}' and feature = 'credit_score'"]


def swap_baselines(project_id: str) -> list[str]:
    """The two models' predictions are compared with each other's baselines."""
    swap = (
        "update ml_guard.baseline_feature set model_id = {to}, endpoint = {to_endpoint}, feature = {name} "
        f"where project_id = '{project_id}' and model_id = {{of}} and feature = {{old}}"
    )
    steps = [
        ("'churn_model_v1'", "'@y_pred'", "'churn_model_v1'", "'predict'", "'aside'"),
        ("'credit_limit_v2'", "'@y_pred'", "'churn_model_v1'", "'predict'", "'@y_pred'"),
        ("'churn_model_v1'", "'aside'", "'credit_limit_v2'", "'nightly'", "'@y_pred'"),
    ]
    return [swap.format(of=of, old=old, to=to, to_endpoint=at, name=name) for of, old, to, at, name in steps]


@pytest.fixture(scope="module")
def untouched(product: Product) -> Iterator[Session]:
    """A session that went through the product, and of which every claim holds."""
    session = small_session(product, "stored")
    with session.client:
        validate.run(session)
        assert failures(session) == {}
        yield session


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [
        (move_an_edge, ["bin counts", "equal scipy's"]),
        (swap_baselines, ["baselines hold the events", "stored shares", "bin counts"]),
    ],
)
def test_it_fails_when_what_is_stored_was_tampered_with(
    product: Product, untouched: Session, sabotage: Sabotage, noticed: list[str]
) -> None:
    project_id = untouched.topic.project_id(PROJECTS[0])
    kept = asyncio.run(_execute(product.database_url, project_id, sabotage(project_id)))
    try:
        failed = failures(untouched)
    finally:
        asyncio.run(_restore(product.database_url, project_id, kept))
    for part in noticed:
        assert any(part in says for says in failed), f"{part!r} did not notice: {sorted(failed)}"
    assert failures(untouched) == {}


async def _execute(url: str, project_id: str, statements: list[str]) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        kept = await connection.fetch(
            "select * from ml_guard.baseline_feature where project_id = $1", project_id
        )
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
        return list(kept)
    finally:
        await connection.close()


async def _restore(url: str, project_id: str, kept: list[asyncpg.Record]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(
                "delete from ml_guard.baseline_feature where project_id = $1", project_id
            )
            columns = ", ".join(kept[0].keys())
            places = ", ".join(f"${number}" for number in range(1, len(kept[0]) + 1))
            await connection.executemany(
                f"insert into ml_guard.baseline_feature ({columns}) values ({places})",
                [tuple(row) for row in kept],
            )
    finally:
        await connection.close()
