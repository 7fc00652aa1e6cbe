"""Does psql answer every query that docs/sql.md prints?"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from tests.conftest import run_apart
from tests.sql.conftest import psql
from tests.sql.planted import plant_at

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def query(words: str) -> str:
    (found,) = [query for query in QUERIES if words in query]
    return found


def answer(database_url: str, sql: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(psql(database_url, sql))))


@pytest.fixture(scope="module")
def planted(module_database_url: str) -> str:
    run_apart(plant_at(module_database_url))
    return module_database_url


@pytest.mark.parametrize("sql", QUERIES, ids=lambda sql: " ".join(sql.split())[:60])
def test_psql_answers_each_query_of_the_page_with_rows(planted: str, sql: str) -> None:
    rows = answer(planted, sql)
    assert rows or "where not balanced" in sql


def test_hours_and_days_of_the_aggregates_hold_the_planted_traffic(planted: str) -> None:
    hours = answer(planted, query("from ml_guard.traffic_hour_utc"))
    assert {row["requests"] for row in hours[1:-1]} == {"9"}
    assert {row["mean_ms"] for row in hours} == {"153.3"}
    assert all(float(row["p95_ms"]) == pytest.approx(400, rel=0.021) for row in hours)
    days = answer(planted, query("from ml_guard.traffic_day_utc"))
    assert sum(int(row["requests"]) for row in days) == 36 * 9


def test_percentiles_of_a_range_are_those_of_the_planted_latencies(planted: str) -> None:
    (row,) = answer(planted, query("ml_guard.latency_percentile("))
    assert float(row["p95_ms"]) == pytest.approx(400, rel=0.02)
    rows = answer(planted, query("ml_guard.latency_percentiles("))
    assert [float(row["p"]) for row in rows] == [0.5, 0.9, 0.95, 0.99]
    assert float(rows[0]["latency_ms"]) == pytest.approx(40, rel=0.02)


def test_todays_drift_and_its_bins_name_what_was_planted(planted: str) -> None:
    (row,) = answer(planted, query("from ml_guard.daily_drift"))
    assert (row["feature"], row["verdict"], row["status"]) == ("country", "drift", "provisional")
    bins = answer(planted, query("from ml_guard.daily_bins"))
    assert {"CA", "US", "unseen"} < {row["label"] for row in bins}


def test_alerts_and_their_messages_are_read_as_they_were_planted(planted: str) -> None:
    (alert,) = answer(planted, query("from ml_guard.alerts"))
    assert (alert["state"], alert["worst_feature"], alert["hours"]) == ("acknowledged", "country", "2")
    assert alert["moved"] == "US +30.0 points"
    (sent,) = answer(planted, query("from ml_guard.alert_deliveries"))
    assert (sent["channel"], sent["status"], float(sent["took_s"])) == ("slack", "sent", 3.0)


def test_a_days_cost_stands_beside_its_utc_days_traffic(planted: str) -> None:
    (row,) = answer(planted, query("from ml_guard.daily_costs"))
    requests = int(row["requests"])
    assert 0 < requests <= 24 * 9
    assert (row["amount"], float(row["cost_per_1000"])) == ("0.36", pytest.approx(360 / requests, abs=1e-6))


def test_the_ledger_query_is_silent_when_every_event_is_accounted_for(planted: str) -> None:
    sql = query("from ml_guard.ledger_days")
    assert answer(planted, sql) == []
    psql(planted, "update ml_guard.ledger_day set decoded = decoded + 1 where shard = 0;")
    assert len(answer(planted, sql)) == 4
