"""Does every panel answer, on the data of the demo and as the login that Grafana has, with what its kind needs?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from stream.reader import LOGIN, set_login, set_page
from tests.conftest import run_apart
from tests.e2e.conftest import Product, product
from tests.grafana.filled import BOARDS, Range, Values, filled, panels, variables

__all__ = ["product"]  # a fixture
pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PASSWORD = "reads-only"
PANEL = "https://guard.example/ml"
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
TEXTS = {"text", "varchar"}
TIMES = {"timestamptz"}
RANGES = {"an hour": timedelta(hours=1), "a week": timedelta(days=7), "a year": timedelta(days=365)}

MAY_BE_EMPTY = {
    ("fleet", "What is alarmed"),
    ("model", "Open alerts"),
    ("model", "Quantiles of $feature by day"),  # where the feature that moved most is text
}

PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in panels(board)
]


@pytest.fixture(scope="module")
def demo(product: Product) -> str:
    """The product's database after the demo, with the login and the address that `ml-guard migrate` would set."""
    done = product.ml_guard("demo", "--events", "60000", "--topic", product.topic, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ledger"]["balanced"] is True
    run_apart(set_login(product.database_url, PASSWORD))
    run_apart(set_page(product.database_url, f"{PANEL}/"))
    return product.database_url


@pytest.fixture
async def reader(demo: str) -> AsyncIterator[asyncpg.Connection]:
    place = urlsplit(demo)
    connection = await asyncpg.connect(
        host=place.hostname, port=place.port, database=place.path[1:], user=LOGIN, password=PASSWORD
    )
    yield connection
    await connection.close()


def chosen_range(board: Mapping[str, Any]) -> Range:
    """The one with which the board opens."""
    amount, unit = int(board["time"]["from"].removeprefix("now-")[:-1]), board["time"]["from"][-1]
    now = datetime.now(UTC)
    return Range(now - amount * {"d": timedelta(days=1), "h": timedelta(hours=1)}[unit], now)


async def choices(reader: asyncpg.Connection, board: Mapping[str, Any], time: Range) -> Values:
    """What the board's variables are when it opens: the first choice of each, or all."""
    values: dict[str, str | list[str]] = {}
    for variable in variables(board):
        rows = await reader.fetch(filled(variable["query"], values, time))
        assert rows, f"{variable['name']} has nothing to choose"
        options = [row[0] for row in rows]
        assert len(options) == len(set(options))
        values[variable["name"]] = options if variable["multi"] else options[0]
    return values


async def answer(
    reader: asyncpg.Connection, sql: str, values: Values, time: Range
) -> tuple[dict[str, str], list[asyncpg.Record]]:
    """The columns with their types, and the rows."""
    statement = await reader.prepare(filled(sql, values, time))
    return {column.name: column.type.name for column in statement.get_attributes()}, await statement.fetch()


def check_shape(panel: Mapping[str, Any], columns: Mapping[str, str], rows: list[asyncpg.Record]) -> None:
    """What Grafana's data source and the panel's kind ask of an answer."""
    (target,) = panel["targets"]
    assert set(columns.values()) <= NUMBERS | TEXTS | TIMES | {"bool"}
    if target["format"] == "time_series":
        assert columns["time"] in TIMES
        labels = {name for name, kind in columns.items() if kind in TEXTS}
        assert labels <= {"metric"}, "a series is named by the column metric alone"
        assert {kind for name, kind in columns.items() if name not in {"time", "metric"}} <= NUMBERS
        if labels:
            assert list(columns) == ["time", "metric", "value"]
        times = [row["time"] for row in rows]
        assert times == sorted(times), "series come in the order of time"
        points = [(row["time"], row.get("metric")) for row in rows]
        assert len(points) == len(set(points)), "one value a series and instant"
    if panel["type"] == "stat":
        assert len(columns) == 1
        assert set(columns.values()) <= NUMBERS
    if panel["type"] == "barchart":
        assert columns[panel["options"]["xField"]] in TEXTS
        assert len(set(columns.values()) & NUMBERS) == 1
    if "metric" not in columns:
        named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        assert named <= columns.keys(), "what a column should look like is said of columns that are there"


@pytest.mark.parametrize(("name", "panel"), PANELS)
async def test_a_panel_answers_in_the_shape_of_its_kind_and_with_rows(
    reader: asyncpg.Connection, name: str, panel: dict[str, Any]
) -> None:
    time = chosen_range(BOARDS[name])
    values = await choices(reader, BOARDS[name], time)
    columns, rows = await answer(reader, panel["targets"][0]["rawSql"], values, time)
    check_shape(panel, columns, rows)
    if (name, panel["title"]) not in MAY_BE_EMPTY:
        assert rows
        for column in set(columns) - {"time"}:
            if panel["type"] != "table":
                assert any(row[column] is not None for row in rows), f"{column} is never there"


@pytest.mark.parametrize("span", RANGES.values(), ids=list(RANGES))
@pytest.mark.parametrize("name", BOARDS)
async def test_a_board_answers_over_any_range_of_time(
    reader: asyncpg.Connection, name: str, span: timedelta
) -> None:
    now = datetime.now(UTC)
    values = await choices(reader, BOARDS[name], chosen_range(BOARDS[name]))
    for panel in panels(BOARDS[name]):
        columns, rows = await answer(reader, panel["targets"][0]["rawSql"], values, Range(now - span, now))
        check_shape(panel, columns, rows)


@pytest.mark.parametrize("name", BOARDS)
async def test_annotations_have_an_instant_a_text_and_tags(reader: asyncpg.Connection, name: str) -> None:
    time = chosen_range(BOARDS[name])
    values = await choices(reader, BOARDS[name], time)
    for annotation in BOARDS[name]["annotations"]["list"]:
        columns, rows = await answer(reader, annotation["target"]["rawSql"], values, time)
        assert columns["time"] in TIMES
        assert columns.get("timeend", "timestamptz") in TIMES
        assert columns["text"] in TEXTS
        assert columns["tags"] in TEXTS
        assert rows or annotation["name"] == "Alerts"


async def test_the_hidden_variable_is_the_address_that_the_settings_say(reader: asyncpg.Connection) -> None:
    for board in BOARDS.values():
        values = await choices(reader, board, chosen_range(board))
        assert values["panel"] == PANEL


async def series(reader: asyncpg.Connection, name: str, title: str) -> list[asyncpg.Record]:
    board = BOARDS[name]
    time = chosen_range(board)
    (panel,) = [one for one in panels(board) if one["title"] == title]
    values = await choices(reader, board, time)
    return (await answer(reader, panel["targets"][0]["rawSql"], values, time))[1]


async def test_the_fleet_board_begins_with_a_model_whose_drift_was_planted(
    reader: asyncpg.Connection,
) -> None:
    first, *_ = await series(reader, "fleet", "Models, the worst first")
    assert first["drift, last closed day"] >= 1
    (row,) = await series(reader, "fleet", "Models in drift")
    models = await reader.fetch(
        """select distinct project_id, model_id, endpoint from ml_guard.daily_metrics m
            where status = 'final' and features_drift > 0 and day_start = (
                select max(day_start) from ml_guard.daily_metrics l where status = 'final'
                and (l.project_id, l.model_id, l.endpoint) = (m.project_id, m.model_id, m.endpoint))"""
    )
    assert row["models"] == len(models) >= 1


async def test_rates_add_up_to_the_requests_that_were_counted(reader: asyncpg.Connection) -> None:
    """Over a range of whole hours the rates times their steps are the requests of those hours."""
    board = BOARDS["health"]
    (panel,) = [one for one in panels(board) if one["title"] == "Events a second by project"]
    values = await choices(reader, board, chosen_range(board))
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1, microseconds=1)
    for span, step in ((timedelta(hours=10), 60), (timedelta(days=20), 3600)):
        time = Range(end + timedelta(microseconds=1) - span, end)
        _, rows = await answer(reader, panel["targets"][0]["rawSql"], values, time)
        counted = await reader.fetchval(
            "select sum(requests) from ml_guard.traffic_minute_utc where minute between $1 and $2",
            time.start,
            time.end,
        )
        assert sum(row["value"] for row in rows) * step == pytest.approx(float(counted))
        assert counted > 0
