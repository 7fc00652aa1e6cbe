"""Where a project hashes its labels, is no plain one left anywhere, and are the verdicts what they would have been?"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import numpy as np
import pandas as pd
import pytest

from ml_guard import MLGuardClient
from ml_guard.errors import ConflictError
from stream.closing.capture import capture
from stream.labels import LabelHash
from stream.settings import Settings
from stream.store.baselines import insert_baseline, read_baseline
from stream.store.hashing import PlainLabelsError
from tests.api.conftest import DEMO, Door, served
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.data.conftest import LABEL_KEY
from tests.data.test_reference import as_stored
from tests.ingest.conftest import MakeBench, event
from tests.ingest.product import MODEL, TUESDAY, Product, in_toronto, local

BEFORE = TUESDAY - timedelta(days=1)
PLANS = ["plan-basic", "plan-gold", "plan-old", "plan-new"]
HIDE = LabelHash(LABEL_KEY, "w")


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """A worker that has the key."""
    async with in_toronto(make_bench, local(BEFORE), label_key=LABEL_KEY) as made:
        yield made


def events(
    product: Product, n: int, shares: list[float], hour: float, day: Any = TUESDAY
) -> tuple[list[str], list[bytes]]:
    """Events of an hour of a day; their labels are prediction and feature."""
    plans = product.random.choice(PLANS, n, p=shares).tolist()
    product.clock.now = max(product.clock.now, local(day, hour))
    at = local(day, hour).isoformat().replace("+00:00", "Z")
    return plans, [
        event(project_id="w", timestamp=at, y_pred=plan, features={"plan": plan, "age": float(n)})
        for n, plan in enumerate(plans)
    ]


async def plain_labels(product: Product) -> dict[str, list[str]]:
    """The tables of the database in which a label stands as it came."""
    found: dict[str, list[str]] = {}
    tables = await product.worker.fetch(
        """select distinct table_name from information_schema.columns
           where table_schema = 'ml_guard' and column_name = 'project_id'"""
    )
    for (table,) in tables:
        for (text,) in await product.worker.fetch(f"select t::text from ml_guard.{table} t"):
            hits = [plan for plan in PLANS if plan in text or plan.encode().hex() in text]
            found.setdefault(table, []).extend(hits)
    return {table: hits for table, hits in found.items() if hits}


async def test_a_switch_in_the_middle_of_a_day_leaves_no_label_and_every_verdict(
    product: Product, client: MLGuardClient
) -> None:
    _, first = events(product, 600, [0.5, 0.3, 0.2, 0.0], 12, BEFORE)
    await product.takes(first, shard=1)
    await product.closes(BEFORE)
    plain = await capture(product.worker.pool, *MODEL, [BEFORE], captured_by="test")
    assert await product.worker.catalog.poll(), "the worker does not hear of it"
    morning, records = events(product, 200, [0.3, 0.3, 0.3, 0.1], 9)
    await product.takes(records, shard=1)
    await product.rolls()
    assert set(await plain_labels(product)) >= {"day_sketch", "feature_day", "baseline_feature"}

    assert client.projects.update("w", labels="hashed").labels == "hashed"
    assert await plain_labels(product) == {}
    assert client.projects.update("w", labels="hashed").labels == "hashed"

    # The worker has not heard of it: what it holds is refused, and so is what it folds after it has claimed again.
    product.lease = await product.leads()
    afternoon, records = events(product, 200, [0.3, 0.3, 0.3, 0.1], 15)
    await product.takes(records, shard=1)
    for heard in (False, True):
        written = await product.worker.value(
            "select sum(n) from ml_guard.day_sketch where feature = '@events'"
        )
        assert (written, await plain_labels(product)) == (800, {})
        if heard:
            await product.worker.catalog.poll()
        await product.worker.claim()
        await product.worker.read(1)
        await product.worker.checkpoint(1)
    await product.rolls()
    assert await plain_labels(product) == {}

    rows = await product.rows(TUESDAY)
    for name in ("plan", "@y_pred"):
        base = next(one for one in plain.features if one.feature == name)
        x = bin_vector(base, [*morning, *afternoon], 400)
        row = rows[name]
        assert (row["n"], row["method"], row["verdict"]) == (400, "counters", "drift")
        assert [found["count"] for found in row["bins"]] == x.tolist()
        assert [found.get("label") for found in row["bins"][:3]] == [
            HIDE(label) for label in base.labels or ()
        ]
        expected = expected_score(base, x)
        assert row["psi"] == pytest.approx(expected["psi"], **EXACT)
        assert row["p_value"] == pytest.approx(expected["p_value"], **EXACT)

    # What the API says of it, and what it computes from sketches of before and after, has hashes too.
    hashed = client.baselines.show(1, project_id="w", model_id="m")
    plan = next(one for one in hashed.features if one.feature == "plan")
    assert plan.labels == [
        HIDE(label) for label in next(one for one in plain.features if one.feature == "plan").labels or ()
    ]
    compared = client.compare(
        a_project_id="w",
        a_model_id="m",
        b_project_id="w",
        b_model_id="m",
        a_from=BEFORE,
        a_to=BEFORE,
        b_from=TUESDAY,
    )
    found = next(one for one in compared.features if one.feature == "plan")
    assert found.psi == pytest.approx(rows["plan"]["psi"], **EXACT)
    said = str([compared, hashed, client.features(project_id="w"), client.drift(project_id="w")])
    assert HIDE("plan-gold") in said
    assert not [plan for plan in PLANS if plan in said]
    with pytest.raises(ConflictError, match="stay so"):
        client.projects.update("w", labels="plain")


async def test_compressed_days_are_hashed_too_and_late_events_and_a_capture_know_them(
    product: Product, client: MLGuardClient, module_database_url: str
) -> None:
    early, first = events(product, 400, [0.5, 0.3, 0.2, 0.0], 12, BEFORE)
    await product.takes(first)
    await product.closes(BEFORE)
    owner = await asyncpg.connect(module_database_url)
    assert await owner.fetch("select compress_chunk(c, true) from show_chunks('ml_guard.day_sketch') c")
    await owner.close()
    client.projects.update("w", labels="hashed")
    assert await plain_labels(product) == {}
    product.lease = await product.leads()
    await product.worker.catalog.poll()
    await product.worker.claim()
    late, records = events(product, 100, [0.0, 0.2, 0.0, 0.8], 13, BEFORE)
    await product.takes(records)
    await product.closes(BEFORE)
    made = client.baselines.capture(project_id="w", model_id="m", days=[BEFORE])
    plan = next(one for one in made.features if one.feature == "plan")
    counts = Counter(early + late)
    assert dict(zip(plan.labels or (), plan.shares, strict=False)) == {
        HIDE(label): pytest.approx(n / 500) for label, n in counts.items()
    }
    assert await plain_labels(product) == {}


async def test_a_data_set_is_hashed_under_the_same_key_before_anything_is_shown(
    product: Product, client: MLGuardClient
) -> None:
    client.projects.update("w", labels="hashed")
    frame = pd.DataFrame({"plan": ["plan-basic"] * 60 + ["plan-gold"] * 40, "active": [True, False] * 50})
    for preview in (True, False):
        made = {one.feature: one for one in client.capture_baseline(frame, preview=preview).baseline.features}
        assert made["plan"].labels == [HIDE("plan-basic"), HIDE("plan-gold")]
        assert made["active"].labels == ["false", "true"]
    assert await plain_labels(product) == {}
    plain = as_stored(made["plan"])
    (stored,) = client.baselines.list(project_id="w")
    async with product.worker.pool.acquire() as connection:
        version = await read_baseline(connection, *MODEL, stored.version or 0)
        assert version is not None
        with pytest.raises(PlainLabelsError, match="capture again"):
            await insert_baseline(connection, version, [replace(plain, labels=("plan-basic",))])


async def test_a_worker_without_the_key_counts_nothing_and_loses_nothing(
    make_bench: MakeBench, door: Door
) -> None:
    async with in_toronto(make_bench, local(TUESDAY, 10)) as without:
        with MLGuardClient(door.address, DEMO) as client:
            client.projects.update("w", labels="hashed")
        await without.worker.catalog.poll()
        await without.worker.claim()
        _, records = events(without, 3, [1.0, 0.0, 0.0, 0.0], 9)
        await without.takes(records)
        assert [letter.reason for letter in without.worker.dead.letters] == ["label_key_missing"] * 3
        assert await plain_labels(without) == {}
        assert await without.worker.value("select count(*) from ml_guard.day_sketch") == 0


def test_without_the_key_the_server_refuses_with_words(
    product: Product, module_database_url: str, door: Door
) -> None:
    settings = Settings(kafka="127.0.0.1:9", database_url=module_database_url, demo_key=DEMO)
    with served(settings) as address, MLGuardClient(address, DEMO, project_id="w", model_id="m") as other:
        with pytest.raises(ConflictError, match="ML_GUARD_LABEL_KEY"):
            other.projects.update("w", labels="hashed")
        with pytest.raises(ConflictError, match="ML_GUARD_LABEL_KEY"):
            other.projects.create("secret-shop", zone="UTC", labels="hashed")
        assert other.projects.get("w").labels == "plain"
        with MLGuardClient(door.address, DEMO) as client:
            client.projects.update("w", labels="hashed")
        with pytest.raises(ConflictError, match="ML_GUARD_LABEL_KEY"):
            other.capture_baseline(pd.DataFrame({"plan": ["plan-gold"]}))


def test_a_hash_needs_the_secret_and_the_project() -> None:
    labels = [HIDE("CA"), LabelHash(LABEL_KEY, "v")("CA"), LabelHash(LABEL_KEY + "x", "w")("CA"), HIDE("US")]
    assert len(set(labels)) == len(labels)
    assert HIDE.key_id not in labels
    many = {HIDE(f"label {n}") for n in range(3_000)}  # more than are remembered
    assert len(many) == 3_000
    assert many == {HIDE(f"label {n}") for n in np.arange(3_000)}
