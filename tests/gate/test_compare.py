"""Two selections of days compare as numpy and scipy do on the raw values, as exactly as merged sketches can."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from ml_guard import MLGuardClient
from ml_guard.cli.wording import chance
from ml_guard.errors import InvalidError, NotFoundError
from stream.bins import freeze_values
from stream.closing.capture import capture
from tests.api.conftest import DEMO, Door
from tests.cli.conftest import Type
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.data.test_reference import as_stored
from tests.ingest.product import MODEL, TUESDAY, Product

WEEK = [TUESDAY + timedelta(days=n) for n in range(4)]  # Tuesday to Friday: no weekend
A = {"a_project_id": "w", "a_model_id": "m"}
B = {"b_project_id": "w", "b_model_id": "m"}


async def folded(product: Product, days: list[date], n: int, shift: float = 0.0) -> dict[str, Any]:
    parts = [await product.folds(day, n, shard=at % 3, shift=shift) for at, day in enumerate(days)]
    return {
        "amount": np.concatenate([part["amount"] for part in parts]),
        "country": [label for part in parts for label in part["country"]],
    }


def base_of(feature: Any, values: Any) -> Any:
    """A baseline feature from the raw values: numpy's deciles, and exact shares."""
    from types import SimpleNamespace

    n = len(values)
    if isinstance(values, np.ndarray):
        edges = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
        shares = bin_vector(SimpleNamespace(edges=edges), values, n) / n  # type: ignore[arg-type]
        return SimpleNamespace(edges=edges, shares=shares, share_errors=np.zeros(11), n=n, missing=0)
    labels = ["CA", "US"] if values.count("CA") >= values.count("US") else ["US", "CA"]
    known = SimpleNamespace(labels=labels, other_labels=[])
    shares = bin_vector(known, values, n) / n  # type: ignore[arg-type]
    return SimpleNamespace(
        labels=labels, other_labels=[], shares=shares, share_errors=np.zeros(5), n=n, missing=0
    )


async def test_where_sketches_are_exact_the_comparison_is_that_of_numpy_and_scipy(
    product: Product, client: MLGuardClient, door: Door, typed: Type
) -> None:
    before, after = await folded(product, WEEK[:2], 90), await folded(product, WEEK[2:], 80, shift=0.8)
    await product.rolls()
    answer = client.compare(**A, **B, a_from=WEEK[0], a_to=WEEK[1], b_from=WEEK[2], b_to=WEEK[3])
    assert (answer.exact, answer.rank_error, answer.method) == (True, 0.0, "merged sketches")
    assert (answer.a.days, answer.b.days) == (WEEK[:2], WEEK[2:])
    assert (answer.a.requests, answer.b.requests) == (180, 160)
    features = {one.feature: one for one in answer.features}
    for name in ("amount", "country"):
        found, base = features[name], base_of(name, before[name])
        x = bin_vector(base, after[name], 160)
        assert [one["count"] for one in found.bins or []] == pytest.approx(x.tolist(), **EXACT)
        for figure, expected in expected_score(base, x).items():
            assert getattr(found, figure) == pytest.approx(expected, **EXACT), (name, figure)
    amount = features["amount"]
    assert amount.a is not None
    assert amount.b is not None
    assert (amount.a.mean, amount.b.stddev) == (
        pytest.approx(before["amount"].mean(), **EXACT),
        pytest.approx(after["amount"].std(), **EXACT),
    )
    assert amount.b.p50 == np.quantile(after["amount"], 0.5, method="inverted_cdf")
    days = [f"w/m@{first}..{last}" for first, last in (WEEK[:2], WEEK[2:])]
    seen = typed("--url", door.address, "--api-key", DEMO, "compare", *days, "--bins")
    assert seen.code == 0
    assert "From merged sketches: exact." in seen.out
    (row,) = (words for line in seen.out.splitlines() if (words := line.split())[:1] == ["amount"])
    figures = f"{amount.psi:.3f} {amount.psi_expected:.4f} {chance(amount.q_value)} {amount.verdict}"
    assert " ".join(row).endswith(figures)
    told = typed("--url", door.address, "--api-key", DEMO, "compare", *days, "--json").json
    assert [one["psi"] for one in told["features"]] == [one.psi for one in answer.features]


async def test_where_they_estimate_shares_are_within_the_published_error(
    product: Product, client: MLGuardClient
) -> None:
    before, after = await folded(product, WEEK[:2], 3000), await folded(product, WEEK[2:], 2500, shift=0.7)
    await product.rolls()
    answer = client.compare(**A, **B, a_from=WEEK[0], a_to=WEEK[1], b_from=WEEK[2])
    amount = next(one for one in answer.features if one.feature == "amount")
    assert not answer.exact
    assert 0 < answer.rank_error < 0.014
    assert amount.verdict == "drift"
    assert amount.a is not None
    assert amount.a.mean == pytest.approx(before["amount"].mean(), **EXACT)
    edges = [-np.inf, *(one["upper"] for one in (amount.bins or [])[:-2]), np.inf]
    for values, share in ((before["amount"], "baseline_share"), (after["amount"], "share")):
        exact = np.histogram(values, edges)[0] / values.size
        shown = np.array([one[share] for one in (amount.bins or [])[:-1]])
        assert np.abs(shown - exact).max() <= 0.0166 * 1.2  # the share between two ranks, at 99 %, of ten
    raw = freeze_values(before["amount"])
    expected = expected_score(
        type("Base", (), {"shares": raw.q, "share_errors": raw.s, "n": raw.m, "missing": 0}),  # type: ignore[arg-type]
        bin_vector(type("Base", (), {"edges": raw.edges}), after["amount"], 5000),  # type: ignore[arg-type]
    )
    assert amount.psi == pytest.approx(expected["psi"], rel=0.15)


async def test_models_are_compared_without_days_by_their_newest(
    product: Product, client: MLGuardClient
) -> None:
    await folded(product, WEEK, 45)
    await product.rolls()
    answer = client.compare(**A, **B)
    assert answer.a == answer.b
    assert answer.a.days == WEEK
    assert {one.verdict for one in answer.features} <= {"ok", "insufficient_data"}
    assert all(one.psi == pytest.approx(0, abs=1e-12) for one in answer.features)
    with pytest.raises(NotFoundError):
        client.compare(a_project_id="w", a_model_id="none", **B)
    with pytest.raises(NotFoundError):
        client.compare(a_project_id="none", a_model_id="m", **B)
    with pytest.raises(InvalidError, match="no events on"):
        client.compare(**A, **B, b_from="2020-01-01", b_to="2020-01-02")
    with pytest.raises(InvalidError, match="92 days"):
        client.compare(**A, **B, b_from="2020-01-01", b_to="2020-12-31")


async def test_past_days_are_scored_against_another_version_and_nothing_is_stored(
    product: Product, client: MLGuardClient, door: Door, typed: Type
) -> None:
    values = {day: await product.folds(day, 150, shift=0.5 * at) for at, day in enumerate(WEEK)}
    await product.closes(WEEK[-1])
    made = await capture(product.worker.pool, *MODEL, WEEK[:1], captured_by="test")
    before = await product.rows(WEEK[3])
    answer = client.drift_against(1, project_id="w", model_id="m", from_=WEEK[1], to=WEEK[3])
    assert (answer.stored, answer.baseline_version) == (False, 1)
    assert [row.day for row in answer.items] == [day for day in reversed(WEEK[1:]) for _ in range(2)]
    for row in answer.items:
        base = next(one for one in made.features if one.feature == row.feature)
        x = bin_vector(base, values[row.day][row.feature], 150)
        assert row.method == "sketch"  # of 150 values, which it holds exactly
        for figure, expected in expected_score(base, x).items():
            assert getattr(row, figure) == pytest.approx(expected, **EXACT), (row.feature, figure)
    words = ("--project", "w", "--model", "m", "--from", str(WEEK[1]), "--to", str(WEEK[3]))
    seen = typed("--url", door.address, "--api-key", DEMO, "baseline", "score", "1", *words)
    assert seen.code == 0
    assert "Against version 1, computed now" in seen.err
    for row in answer.items:
        (line,) = (line for line in seen.out.splitlines() if str(row.day) in line and row.feature in line)
        assert f"{row.psi:.3f}" in line.split()
        assert "sketch" in line.split()
    assert await product.rows(WEEK[3]) == before
    with pytest.raises(NotFoundError):
        client.drift_against(9, project_id="w", model_id="m", from_=WEEK[1], to=WEEK[3])


async def test_a_new_model_version_starts_from_its_predecessors_baseline(
    product: Product, client: MLGuardClient, door: Door, typed: Type
) -> None:
    await product.folds(WEEK[0], 400)
    await product.closes(WEEK[0])
    await capture(product.worker.pool, *MODEL, WEEK[:1], captured_by="test", note="first")
    copied = client.baselines.copy(project_id="w", model_id="m2", from_model_id="m").items[0]
    origin = client.baselines.show(1, project_id="w", model_id="m")
    assert copied.features == origin.features
    assert (copied.version, copied.active, copied.note) == (1, True, "first")
    assert copied.copied_from == "m/predict version 1"
    assert as_stored(copied.features[0]).shares == copied.features[0].shares
    copy = ("--url", door.address, "--api-key", DEMO, "baseline", "copy", "--project", "w", "--model", "m2")
    seen = typed(*copy, "--from", "m", "--version", "1", "--note", "again")
    assert seen.code == 0
    assert "m/predict version 1" in seen.out
    assert typed(*copy, "--from", "m", "--version", "9").code == 4
    versions = client.baselines.list(project_id="w", model_id="m2")
    assert [(one.version, one.active) for one in versions] == [(2, True), (1, False)]
    with pytest.raises(NotFoundError, match="no active baseline"):
        client.baselines.copy(project_id="w", model_id="m2", from_model_id="nobody")
