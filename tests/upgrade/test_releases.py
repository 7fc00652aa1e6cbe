"""Is what each release has left behind upgraded, and gone on with; and can its workers run on the newest schema?"""

from __future__ import annotations

import itertools
import math
import re
from datetime import date
from typing import Any

import asyncpg
import numpy as np
import pytest

from stream.archive.file import opened
from stream.archive.loading import restore
from stream.migrate import migrate, read
from stream.store.baselines import read_baseline_features
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.ingest.conftest import FakeLogs, MakeBench
from tests.ingest.product import MODEL, MONDAY, local
from tests.upgrade.conftest import TUESDAY, WEDNESDAY, resumed, unbalanced
from tests.upgrade.make import FIXTURES, LIMIT_BYTES, values_of
from tests.upgrade.surface import Surface, surface, taken_away
from tests.upgrade.test_archives import lose

pytestmark = pytest.mark.stack
NAMES = sorted(path.stem for path in FIXTURES.glob("*.zip"))
RELEASE = re.compile(r"\d+\.\d+\.\d+")
BEFORE_THE_FIRST_RELEASE = {
    "schema-017": ["baseline.window_end may be null now", "baseline.window_start may be null now"]
}
"""What migrations before any release did to code that was never released."""


async def surface_of(url: str) -> Surface:
    connection = await asyncpg.connect(url)
    try:
        return await surface(connection)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_release_left_is_upgraded_and_gone_on_with(
    name: str, make_bench: MakeBench, module_database_url: str
) -> None:
    url, path = module_database_url, FIXTURES / f"{name}.zip"
    assert path.stat().st_size <= LIMIT_BYTES
    with opened(path) as archive:
        had = {migration.number for migration in archive.manifest.migrations}
    await lose(url)
    await migrate(url, only=had)
    before = await surface_of(url)
    await restore(url, path)
    after = await surface_of(url)
    said = f"for a release that is not out yet: python -m tests.upgrade.make {name} --again"
    assert taken_away(before, after) == BEFORE_THE_FIRST_RELEASE.get(name, []), said

    connection = await asyncpg.connect(url)
    assert {row["number"] for row in await connection.fetch("select number from ml_guard.migration")} == {
        migration.number for migration in read()
    }
    await connection.execute("delete from ml_guard.project where project_id = 'p'")
    fences = await connection.fetch('select "partition", next_offset from ml_guard.stream_fence')
    base = await read_baseline_features(connection, *MODEL, 1)
    await connection.close()
    logs = FakeLogs()
    for fence in fences:  # what the release had read
        logs.records[fence["partition"]] = [(None, 0)] * fence["next_offset"]
    product = await resumed(make_bench, logs, local(WEDNESDAY, 12))
    product.random = np.random.default_rng(11)
    raw = values_of(name)
    closed = {str(day): len(raw[str(day)]["amount"]) for day in (MONDAY, TUESDAY)}
    for day, n, hours in ((WEDNESDAY, 40, (12, 20)), (TUESDAY, 20, (1, 2))):
        for feature, values in (await product.folds(day, n, hours=hours)).items():
            raw[str(day)][feature] += list(values)
    await product.closes(WEDNESDAY)
    await product.closes(WEDNESDAY)

    async with product.worker.pool.acquire() as connection_:
        assert await unbalanced(connection_) == 0
        revisions = {
            str(row["day"]): (row["revision"], row["requests"])
            for row in await connection_.fetch(
                "select day, revision, requests from ml_guard.metric_day where project_id = 'w'"
            )
        }
    # The two events of the fixture's batch have no features.
    assert revisions == {
        str(MONDAY): (1, closed[str(MONDAY)]),
        str(TUESDAY): (2, closed[str(TUESDAY)] + 20),
        str(WEDNESDAY): (1, 60 + 40 + 2),
    }
    for day in (TUESDAY, WEDNESDAY):
        agree(day, await product.rows(day), base, raw[str(day)], revisions[str(day)][1])
    assert {one.feature for one in base} == {"amount", "country"}


def agree(day: date, rows: dict[str, Any], base: list[Any], raw: dict[str, list[Any]], events: int) -> None:
    """The day's rows are what numpy and scipy say of all its raw values, those of before and of after the upgrade."""
    amount = np.array(raw["amount"])
    assert rows["amount"]["n"] == amount.size
    assert rows["amount"]["mean"] == pytest.approx(amount.mean(), **EXACT)
    for share in (1, 5, 25, 50, 75, 90, 95, 99):
        expected = np.quantile(amount, share / 100, method="inverted_cdf")
        assert rows["amount"][f"p{share:02}"] == expected, (day, share)
    for feature in base:
        values = amount if feature.feature == "amount" else raw[feature.feature]
        x = bin_vector(feature, values, events)
        row = rows[feature.feature]
        assert (row["baseline_version"], row["method"]) == (1, "counters")
        assert [found["count"] for found in row["bins"]] == x.tolist()
        for name, expected in expected_score(feature, x).items():
            assert row[name] == pytest.approx(expected, **EXACT), (day, feature.feature, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_fixtures_baseline_is_that_of_its_raw_values(name: str) -> None:
    """The bins that the days are compared with are those of the fixture's Monday, by numpy."""
    monday = np.array(values_of(name)[str(MONDAY)]["amount"])
    with opened(FIXTURES / f"{name}.zip") as archive:
        table = next(one for one in archive.manifest.tables if one.name == "baseline_feature")
        lines = b"".join(archive.pieces(table)).decode().splitlines()
    rows = [dict(zip(table.columns, line.split("\t"), strict=True)) for line in lines]
    row = next(one for one in rows if one["feature"] == "amount")
    edges, shares = (
        [float(part) for part in row[name].strip("{}").split(",")] for name in ("edges", "shares")
    )
    counts = [
        ((monday > low) & (monday <= high)).sum()
        for low, high in itertools.pairwise([-math.inf, *edges, math.inf])
    ]
    assert shares == pytest.approx([*(np.array(counts) / monday.size), 0.0], abs=1e-12)
    assert len(edges) == 9


def test_every_release_has_a_fixture() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (FIXTURES.parents[2] / "CHANGELOG.md").read_text(), re.M)
    assert released
    assert {name for name in NAMES if RELEASE.fullmatch(name)} == set(released)


PLANTED = {
    "alter table ml_guard.model drop column first_seen_at cascade": "model.first_seen_at is gone",
    "alter table ml_guard.model rename column endpoint to door": "model.endpoint is gone",
    "alter table ml_guard.seen_batch alter column part type bigint": "seen_batch.part is bigint, was integer",
    "alter table ml_guard.api_key alter column project_ids set not null": "api_key.project_ids is required now",
    "alter table ml_guard.seen_batch alter column part drop default": "seen_batch.part has no default any more",
    "alter table ml_guard.model add column more text not null": "model.more is new, required and has no default",
    "drop procedure ml_guard.keep_hours": "keep_hours(IN days integer) gives nothing, gave procedure",
    "create unique index on ml_guard.model (model_id)": "model has a new rule: btree (model_id)",
    "drop index ml_guard.baseline_active": "baseline is not unique by btree",
    "alter table ml_guard.model add check (model_id <> 'x')": "model has a new rule: CHECK",
    "drop view ml_guard.daily_bins": "daily_bins.bin is gone",
}
HARMLESS = """
alter table ml_guard.model add column more text not null default '', add column size integer check (size > 0);
create table ml_guard.later (name text primary key, size integer not null check (size > 0));
create index on ml_guard.model (first_seen_at);
create function ml_guard.later() returns integer language sql as 'select 1';
"""


async def test_whatever_a_migration_takes_from_a_release_is_seen(module_database_url: str) -> None:
    connection = await asyncpg.connect(module_database_url)
    before = await surface(connection)
    for statement, said in PLANTED.items():
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("delete from ml_guard.model")
        await connection.execute(statement)
        found = taken_away(before, await surface(connection))
        await transaction.rollback()
        assert any(one.startswith(said) for one in found), (statement, found)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(HARMLESS)
    assert taken_away(before, await surface(connection)) == []
    await transaction.rollback()
    await connection.close()
