"""A baseline of a reference data set equals numpy on it, and so does the verdict on the first live day."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from scipy import stats

from ml_guard import AsyncMLGuardClient, MLGuardClient
from ml_guard.errors import ConfigError, InvalidError, NotFoundError
from ml_guard.shapes import BaselineFeature
from stream.closing.capture import CapturedFeature
from tests.api.conftest import DEMO, Door
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.ingest.conftest import event
from tests.ingest.product import TUESDAY, Product, local
from tests.sdk.test_integrate_page import FILES

ROWS = 5_000


def training(seed: int, rows: int, shift: float = 0.0) -> pd.DataFrame:
    """A table with a number, a count, a text, a truth, missing values and an identifier."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40 + 10 * shift, 10, rows)
    age[rng.random(rows) < 0.05] = np.nan
    country = rng.choice(["CA", "US", "FR", None], rows, p=[0.6, 0.25, 0.1, 0.05])
    return pd.DataFrame(
        {
            "age": age,
            "visits": rng.poisson(1.5, rows).astype(float),
            "country": country,
            "active": rng.random(rows) < 0.3,
            "customer": rng.permutation(rows),
            "y_pred": rng.random(rows) < 0.2,
        }
    )


def values_of(column: pd.Series[Any]) -> Any:
    """What numpy and the formulas of the tests take."""
    if column.dtype == float or column.dtype == int:
        return column.to_numpy(dtype=np.float64)
    return column.dropna().tolist()


def by_name(features: list[BaselineFeature]) -> dict[str, BaselineFeature]:
    return {feature.feature: feature for feature in features}


def as_stored(feature: BaselineFeature) -> CapturedFeature:
    return CapturedFeature(**{name: getattr(feature, name) for name in CapturedFeature.__slots__})


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "pandas", "polars", "Arrow"])
async def test_bins_and_shares_are_those_of_numpy_on_the_data(
    product: Product, client: MLGuardClient, tmp_path: Path, kind: str
) -> None:
    frame = training(1, ROWS)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    path = tmp_path / f"train.{kind}"
    if kind == "csv":
        pyarrow.csv.write_csv(table, path)
    elif kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    data: Any = {"pandas": frame, "polars": pl.from_pandas(frame), "Arrow": table}.get(kind, path)

    made = client.capture_baseline(data, note="training").baseline
    assert (made.version, made.active, made.events, made.days) == (1, True, ROWS, [])
    assert (made.data_rows, made.note) == (ROWS, "training")
    if path.exists():
        assert made.data_name == path.name
        assert made.data_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    features = by_name(made.features)
    assert sorted(features) == ["@y_pred", "active", "age", "country", "customer", "visits"]
    age = frame["age"].to_numpy()
    present = age[np.isfinite(age)]
    edges = np.quantile(present, np.arange(1, 10) / 10, method="inverted_cdf")
    assert features["age"].edges == pytest.approx(edges.tolist(), **EXACT)
    assert features["age"].mean == pytest.approx(present.mean(), **EXACT)
    assert features["age"].stddev == pytest.approx(present.std(), **EXACT)
    for name, feature in features.items():
        vector = bin_vector(as_stored(feature), values_of(frame[name.lstrip("@")]), ROWS)
        assert feature.shares == pytest.approx((vector / ROWS).tolist(), **EXACT), name
        assert feature.share_errors == [0.0] * len(vector), name
    assert (features["age"].missing, features["country"].missing) == (
        int(np.isnan(age).sum()),
        int(frame["country"].isna().sum()),
    )
    assert await product.worker.value("select count(*) from ml_guard.day_sketch") == 0


async def test_the_verdict_on_the_first_live_day_equals_numpy_and_scipy(
    product: Product, client: MLGuardClient
) -> None:
    train = training(1, ROWS).drop(columns="customer")
    made = client.capture_baseline(train).baseline
    assert await product.worker.catalog.poll(), "the worker does not hear of it"
    today = training(2, 800, shift=0.6).drop(columns="customer")
    product.clock.now = local(TUESDAY, 10)
    records = []
    for row in today.astype(object).where(today.notna(), None).to_dict("records"):
        y_pred = row.pop("y_pred")
        at = product.clock.now.isoformat().replace("+00:00", "Z")
        records.append(event(project_id="w", timestamp=at, y_pred=y_pred, features=row))
    await product.takes(records[:500], shard=0)
    await product.takes(records[500:], shard=2)
    await product.rolls()
    rows = await product.rows(TUESDAY)
    scored = []
    for feature in made.features:
        row = rows[feature.feature]
        base = as_stored(feature)
        x = bin_vector(base, values_of(today[feature.feature.lstrip("@")]), 800)
        assert (row["method"], row["baseline_version"]) == ("counters", 1)
        assert [found["count"] for found in row["bins"]] == x.tolist()
        for name, expected in expected_score(base, x).items():
            assert row[name] == pytest.approx(expected, **EXACT), (feature.feature, name)
        scored.append(row)
    q_values = stats.false_discovery_control([row["p_value"] for row in scored], method="bh")
    assert [row["q_value"] for row in scored] == pytest.approx(q_values.tolist(), **EXACT)
    assert (rows["age"]["verdict"], rows["visits"]["verdict"]) == ("drift", "ok")


async def test_a_preview_stores_nothing_and_says_what_to_look_at(
    product: Product, client: MLGuardClient, door: Door
) -> None:
    frame = training(1, ROWS)
    before = client.capture_baseline(frame, preview=True)
    assert (before.baseline.version, before.not_in_events, before.not_in_data) == (None, None, None)
    assert [(one.feature, one.reason) for one in before.ignore] == [
        ("customer", "all 5,000 values are different whole numbers")
    ]
    assert client.baselines.list(project_id="w") == []
    await product.folds(TUESDAY, 20, hours=(1, 2))
    await product.rolls()
    async with AsyncMLGuardClient(door.address, DEMO) as other:
        seen = await other.capture_baseline(frame, project_id="w", model_id="m", preview=True)
    assert seen.not_in_events == ["@y_pred", "active", "age", "customer", "visits"]
    assert seen.not_in_data == ["amount"]
    elsewhere = client.capture_baseline(frame, endpoint="score", leave_out=["customer"], preview=True)
    assert (elsewhere.not_in_events, elsewhere.other_endpoints, elsewhere.ignore) == (None, ["predict"], [])
    assert "customer" not in by_name(elsewhere.baseline.features)
    with pytest.raises(ConfigError, match="no column target to leave out"):
        client.capture_baseline(frame, leave_out=["target"])


async def test_a_data_set_for_some_weekdays_leaves_the_others_their_baseline(
    product: Product, client: MLGuardClient
) -> None:
    frame = training(1, 300)
    client.capture_baseline(frame)
    weekend = client.capture_baseline(frame, weekdays=[7, 6], preview=True).baseline
    assert (weekend.version, weekend.weekdays) == (None, [6, 7])
    client.capture_baseline(frame, weekdays=[7, 6], note="the weekend")
    stored = client.baselines.list(project_id="w")
    assert [(one.version, one.active, one.weekdays) for one in stored] == [(2, True, [6, 7]), (1, True, None)]
    assert await product.worker.catalog.poll(), "the worker does not hear of it"
    saturday = TUESDAY + timedelta(days=4)
    pinned = [
        product.worker.catalog.active_bins(("w", "m", "predict"), day)[0] for day in (TUESDAY, saturday)
    ]
    assert pinned == [1, 2]
    with pytest.raises(ConfigError, match="weekdays are 1"):
        client.capture_baseline(frame, weekdays=[0])


async def test_texts_that_are_too_many_to_be_a_property_are_proposed_and_counted_exactly(
    product: Product, client: MLGuardClient
) -> None:
    names = [f"user-{n}" for n in range(20_000)] + ["guest"] * 20_000
    answer = client.capture_baseline(pl.DataFrame({"user": names}))
    (user,) = answer.baseline.features
    assert (user.labels, user.other_labels) == (["guest"], None)
    assert user.shares == [0.5, 0.5, 0.0, 0.0]
    assert [one.reason for one in answer.ignore] == ["20,001 different texts in 40,000 values"]


async def test_settings_of_features_hold_for_a_data_set_too(product: Product, client: MLGuardClient) -> None:
    client.feature_settings.set(project_id="w", feature="age", bins=4, drift=0.4)
    client.feature_settings.set(project_id="w", feature="customer", ignored=True)
    answer = client.capture_baseline(training(1, ROWS))
    features = by_name(answer.baseline.features)
    age = training(1, ROWS)["age"].dropna().to_numpy()
    assert features["age"].edges == np.quantile(age, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    assert (features["age"].drift, features["customer"].ignored, answer.ignore) == (0.4, True, [])
    for name in ("age", "customer"):
        client.feature_settings.delete(project_id="w", feature=name)


async def test_labels_are_those_that_numpy_counts_and_the_tail_is_other_or_unseen(
    product: Product, client: MLGuardClient
) -> None:
    rng = np.random.default_rng(4)
    texts = [f"c{n}" for n in rng.zipf(1.7, 3000)]
    (feature,) = client.capture_baseline(pd.DataFrame({"c": texts})).baseline.features
    counts = Counter(texts)
    assert feature.labels == [label for label, n in counts.most_common(20) if n >= 0.02 * 3000]
    top = sum(counts[label] for label in feature.labels)
    once = sum(n == 1 for n in counts.values())
    expected = [*(counts[label] for label in feature.labels), 3000 - top - once, once, 0]
    assert feature.shares == pytest.approx((np.array(expected) / 3000).tolist(), **EXACT)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"feature": "a", "values": [1, 2]}\n{"feature": "b", "values": [1]}', "a row is missing"),
        ('{"feature": "a", "values": [1]}\n{"feature": "b", "values": [1]}\n{"feature": "a", "values": [1]}',
         "do not follow one another"),
        ('{"feature": "@secret", "values": [1]}', "may not begin with @"),
        ('{"feature": "@y_proba", "values": [0.5, 1.5]}', "numbers from 0 to 1"),
        ('{"feature": "a", "values": [[1]]}', "a line is not"),
        ('{"feature": "a", "values": [null]}', "no column with a value"),
        ("", "no column with a value"),
    ],
)  # fmt: skip
async def test_lines_that_are_no_data_set_are_refused_with_the_reason(
    product: Product, door: Door, lines: str, says: str
) -> None:
    where = {"project_id": "w", "model_id": "m"}
    with door.client() as http:
        answer = http.post(
            "/baselines/from-data",
            params=where,
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
        )
    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid_data_set")
    assert says in answer.json()["detail"]
    assert await product.worker.value("select count(*) from ml_guard.baseline") == 0


async def test_doors_are_shut_as_everywhere(product: Product, door: Door) -> None:
    where = {"project_id": "w", "model_id": "m"}
    lines = '{"feature": "a", "values": [1]}'
    told = {"Content-Type": "application/x-ndjson"}
    for key, path, status in (
        (door.key(["read"]), "/baselines/from-data", 403),
        (door.key(["operate"], ["other"]), "/baselines/from-data", 404),
        (door.key(["read"]), "/baselines/from-data/preview", 200),
    ):
        with door.client(key) as http:
            assert http.post(path, params=where, content=lines, headers=told).status_code == status
    with door.client() as http:
        packed = {**told, "Content-Encoding": "gzip"}
        answer: httpx.Response = http.post(
            "/baselines/from-data", params=where, content=b"x" * 9, headers=packed
        )
        assert answer.json()["code"] == "invalid_encoding"
        assert http.post("/baselines/from-data", params=where, json=[]).status_code == 415


def test_the_snippet_of_the_guide_makes_a_baseline_without_the_identifier(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_GUARD_URL", door.address)
    monkeypatch.setenv("ML_GUARD_API_KEY", DEMO)
    with MLGuardClient() as client:
        if not [one for one in client.projects.list() if one.project_id == "shop"]:
            client.projects.create("shop", zone="UTC")
        snippet: dict[str, Any] = {}
        exec(FILES["training.py"], snippet)
        snippet["first_baseline"](training(1, 500))
        (stored,) = client.baselines.list(project_id="shop")
        shown = client.baselines.show(1, project_id="shop", model_id="churn_v1")
    assert (stored.note, stored.data_rows) == ("the training data", 500)
    assert [one.feature for one in shown.features if one.ignored] == ["customer"]


def test_a_file_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with MLGuardClient("http://127.0.0.1:9", project_id="w", model_id="m") as nobody:
        with pytest.raises(ConfigError, match=r"no file of a known kind: \.arrow, \.csv"):
            nobody.capture_baseline(tmp_path / "train.xlsx")
        with pytest.raises(ConfigError, match="there is no file"):
            nobody.capture_baseline(tmp_path / "train.csv")
        (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
        with pytest.raises(ConfigError, match="cannot be read"):
            nobody.capture_baseline(tmp_path / "torn.parquet")
        with pytest.raises(ConfigError, match="no rows"):
            nobody.capture_baseline(pd.DataFrame({"a": []}))
    with MLGuardClient("http://127.0.0.1:9", project_id="w") as nobody, pytest.raises(ConfigError):
        nobody.capture_baseline(pd.DataFrame({"a": [1]}))


async def test_a_data_set_of_an_unknown_project_is_refused(client: MLGuardClient, product: Product) -> None:
    with pytest.raises(NotFoundError):
        client.capture_baseline(pd.DataFrame({"a": [1]}), project_id="nobody")
    with pytest.raises(InvalidError, match="name"):
        client.capture_baseline(pd.DataFrame({"a": [1]}), name="n" * 300)
