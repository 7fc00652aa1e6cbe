"""Does the demo show what it promises, and can it be run again on its own data?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Product

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

EVENTS = "60000"


def demo(product: Product) -> dict[str, Any]:
    done = product.ml_guard("demo", "--events", EVENTS, "--topic", product.topic, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.fixture(scope="module")
def first(product: Product) -> dict[str, Any]:
    return demo(product)


def test_it_finds_everything_that_was_planted_and_nothing_else(first: dict[str, Any]) -> None:
    planted = first["planted"]
    assert planted["found"] + planted["too_early"] == planted["changes"] >= 9
    closed = [row for row in first["drift"] if row["status"] == "final"]
    drifting = {(row["model_id"], row["feature"]) for row in closed if row["verdict"] in ("drift", "warning")}
    assert drifting == {
        ("churn_model_v1", "balance"),
        ("churn_model_v1", "country"),
        ("credit_limit_v2", "utilisation"),
        ("fraud_v3", "amount"),
        ("fraud_v3", "new_device"),
        ("load_forecast", "temperature"),
        ("load_forecast", "@latency_ms"),
    }
    assert {row["method"] for row in closed if row["psi"] is not None} == {"counters"}


def test_it_shows_past_days_as_final_and_a_restated_one(first: dict[str, Any]) -> None:
    assert {row["status"] for row in first["metrics"]} <= {"final", "provisional"}
    assert {row["revision"] for row in first["metrics"] if row["status"] == "final"} == {1, 2}
    assert first["ledger"]["balanced"] is True


def test_a_second_run_counts_nothing_twice(product: Product, first: dict[str, Any]) -> None:
    second = demo(product)

    def closed(shown: dict[str, Any]) -> dict[tuple[str, ...], tuple[int, ...]]:
        return {
            (row["project_id"], row["model_id"], row["endpoint"], row["day"]): (
                row["requests"],
                row["revision"],
            )
            for row in shown["metrics"]
            if row["status"] == "final"
        }

    def drift(shown: dict[str, Any]) -> dict[tuple[str, ...], float]:
        return {
            (row["model_id"], row["endpoint"], row["day"], row["feature"]): row["psi"]
            for row in shown["drift"]
            if row["status"] == "final"
        }

    assert closed(second) == closed(first)
    assert drift(second) == drift(first)
    assert sum(row["duplicate"] for row in second["ledger"]["days"]) > 1_000
    assert second["ledger"]["balanced"] is True


def test_it_ends_with_where_to_look(product: Product, first: dict[str, Any]) -> None:
    done = product.ml_guard("demo", "--events", EVENTS, "--topic", product.topic)
    assert done.returncode == 0, done.stderr
    for expected in (
        f"{product.url}/docs",
        "psql 'postgresql://",
        "drift --project north-bank --verdict drift --bins",
        "./validation.sh",
        "balanced",
        "none counted twice",
        "BR +1",
    ):
        assert expected in done.stdout
    assert "Using the stack that runs at" in done.stderr


def test_the_commands_that_it_names_work(product: Product, first: dict[str, Any]) -> None:
    bins = product.ml_guard("drift", "--project", "north-bank", "--verdict", "drift", "--bins")
    assert (bins.returncode, "balance" in bins.stdout) == (0, True)
    assert product.ml_guard("ledger").returncode == 0
    assert product.ml_guard("drift", "--project", "north-bank", "--fail-on", "drift").returncode == 1
    baselines = json.loads(product.ml_guard("baseline", "list", "--json").stdout)
    assert len(baselines) == 6
    query = "select count(*) from ml_guard.daily_drift where verdict = 'drift'"
    found = product.run("psql", product.database_url, "--tuples-only", "--no-align", "--command", query)
    assert int(found.stdout) >= 5
