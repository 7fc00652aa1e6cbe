"""Do the boards keep the rules of Grafana's dashboard linter, and say what the product says?"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from dashboards.grafana.__main__ import BOARDS as BUILT
from dashboards.grafana.__main__ import text
from dashboards.grafana.health import QUIET_S, SILENT_S
from dashboards.grafana.kinds import OF_A_DAY
from dashboards.live.address import place_of
from dashboards.live.words import said, sign
from stream import drift
from stream.drift import Status
from stream.settings import Settings
from tests.grafana.filled import BOARDS, FOLDER, every_query, panels, variables

SQL = FOLDER.parents[1] / "sql"
UNITS = {
    "none", "short", "percentunit", "ms", "s", "sci", "reqps", "cps", "bool_yes_no", "dateTimeAsIso",
    "dateTimeFromNow",
}  # fmt: skip
"""Of Grafana's own units those that the boards may use."""

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


def properties(panel: dict[str, Any], name: str) -> list[Any]:
    """A property of a panel's fields: the default, and what columns have instead."""
    config = panel["fieldConfig"]
    found = [config["defaults"][name]] if name in config["defaults"] else []
    return found + [
        one["value"] for column in config["overrides"] for one in column["properties"] if one["id"] == name
    ]


def test_the_committed_json_is_what_the_builder_makes() -> None:
    assert BOARDS.keys() == BUILT.keys() == {"fleet", "model", "health"}
    for name, board in BUILT.items():
        committed = (FOLDER / "boards" / f"{name}.json").read_text(encoding="utf-8")
        assert committed == text(board), f"{name}.json is stale: run `python -m dashboards.grafana`"


@each_board
def test_template_datasource_rule(board: dict[str, Any]) -> None:
    (source,) = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["label"]) == ("datasource", "Data source")
    provisioned = yaml.safe_load((FOLDER / "provisioning/datasources/timescaledb.yaml").read_text())
    assert source["query"] == provisioned["datasources"][0]["type"]


@each_board
def test_panel_datasource_rule(board: dict[str, Any]) -> None:
    users = [*panels(board), *variables(board), *board["annotations"]["list"]]
    users += [target for panel in panels(board) for target in panel["targets"]]
    assert {user["datasource"]["uid"] for user in users} == {"${datasource}"}


@each_board
def test_panel_title_description_rule(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles))


@each_board
def test_panel_units_rule(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["fieldConfig"]["defaults"].get("unit"), panel["title"]
        assert set(properties(panel, "unit")) <= UNITS, panel["title"]


@each_board
def test_panel_no_targets_rule(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert [target["rawSql"].strip() != "" for target in panel["targets"]] == [True], panel["title"]


@each_board
def test_template_on_time_change_reload_rule(board: dict[str, Any]) -> None:
    assert {one["refresh"] for one in variables(board)} == {2}


@each_board
def test_uneditable_dashboard(board: dict[str, Any]) -> None:
    assert board["editable"] is False


def test_no_rule_of_the_linter_about_other_languages_applies() -> None:
    """target-promql-rule, target-logql-rule and the rules of job and instance are about queries that no board has."""
    targets = [target for board in BOARDS.values() for panel in panels(board) for target in panel["targets"]]
    assert {target["datasource"]["type"] for target in targets} == {"grafana-postgresql-datasource"}


def test_each_board_has_its_own_stable_uid_and_is_found_by_its_tag() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {
        "ml-guard-fleet",
        "ml-guard-model",
        "ml-guard-health",
    }
    assert all(board["tags"] == ["ml-guard"] and "id" not in board for board in BOARDS.values())


@each_board
def test_panels_have_their_own_numbers_and_do_not_overlap(board: dict[str, Any]) -> None:
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells


@each_board
def test_every_variable_that_is_used_is_there(board: dict[str, Any]) -> None:
    there = {one["name"] for one in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!_)(\w+)", str([board["panels"], board["links"], every_query(board)])))
    assert used <= there
    assert there - used == set(), "a variable that nothing uses"


@each_board
def test_time_series_follow_the_chosen_range_of_time(board: dict[str, Any]) -> None:
    for panel in panels(board):
        (target,) = panel["targets"]
        if target["format"] == "time_series":
            assert re.search(r"\$__timeFilter\(|\$__timeFrom\(\)", target["rawSql"]), panel["title"]


def test_the_levels_of_psi_are_the_products() -> None:
    wanted = [("green", None), ("orange", drift.WARNING), ("red", drift.DRIFT)]
    shown = []
    for board in BOARDS.values():
        for panel in panels(board):
            for level in properties(panel, "thresholds"):
                steps = [(step["color"], step["value"]) for step in level["steps"]]
                fractions = [value for _, value in steps if value is not None and value % 1]
                if fractions:
                    assert steps == wanted, panel["title"]
                    shown.append(panel["title"])
    assert shown == [
        "Models, the worst first",
        "Worst PSI of each model by day",
        "Features on $day, the worst first",
    ]


def test_the_levels_of_silence_are_the_products() -> None:
    assert Settings.model_fields["ready_silence_s"].default == QUIET_S
    views = (SQL / "009_views.sql").read_text()
    assert re.findall(r"heartbeat_at < now\(\) - interval '(\d+) seconds' then 'silent'", views) == [
        str(SILENT_S)
    ]


def test_verdicts_have_the_dashboards_signs_and_words() -> None:
    wanted = {verdict: f"{sign(verdict)} {said(verdict)}" for verdict in OF_A_DAY}
    assert wanted.keys() == {str(status) for status in Status} | {"ignored"}
    by_title = {panel["title"]: panel for panel in panels(BOARDS["model"])}
    (mappings,) = [
        one for one in properties(by_title["Features on $day, the worst first"], "mappings") if one
    ]
    assert {verdict: one["text"] for verdict, one in mappings[0]["options"].items()} == wanted
    history = by_title["Verdict of every feature by day"]
    (mappings,) = [one for one in properties(history, "mappings") if one]
    codes = dict(re.findall(r"when '(\w+)' then (\d+)", history["targets"][0]["rawSql"]))
    assert codes.keys() == wanted.keys()
    assert {verdict: mappings[0]["options"][code]["text"] for verdict, code in codes.items()} == wanted


def links(board: dict[str, Any]) -> list[str]:
    """Where a board leads to: its own links and those of its cells."""
    cells = [link["url"] for panel in panels(board) for found in properties(panel, "links") for link in found]
    return [link["url"] for link in board["links"] if link["url"]] + cells


@each_board
def test_links_lead_to_pages_that_ml_guards_dashboard_has(board: dict[str, Any]) -> None:
    """Every variable and column is filled, escaped as Grafana does; the page is the one that the dashboard would show."""
    values = {
        "project": "shop%2Fa%26b",
        "model": "churn%20v1",
        "endpoint": "predict",
        "feature": "%40y_pred",
        "day": "2025-03-01",
    }
    outside = [url for url in links(board) if url.startswith("${panel:raw}/")]
    assert outside
    for url in outside:
        placed = url.replace("${panel:raw}", "https://guard.example/ml-guard")
        placed = re.sub(r"\$\{(?:__data\.fields\.)?(\w+):percentencode\}", lambda m: values[m[1]], placed)
        assert "$" not in placed
        there = urlsplit(placed)
        assert (there.netloc, there.path) == ("guard.example", "/ml-guard/")
        place = place_of(
            {name: [one.encode() for one in ones] for name, ones in parse_qs(there.query).items()}
        )
        assert place.notice == ""
        assert f"page={place.page}" in there.query
        if place.page in ("model", "feature"):
            assert place.model_key == ("shop/a&b", "churn v1", "predict")
        if place.page == "feature":
            assert (place.feature, str(place.day)) == ("@y_pred", "2025-03-01")


@each_board
def test_links_to_boards_name_one_that_is_there_and_variables_that_it_has(board: dict[str, Any]) -> None:
    for url in links(board):
        if url.startswith("/d/"):
            there = {one["uid"]: one for one in BOARDS.values()}[url.removeprefix("/d/").split("?")[0]]
            names = {one["name"] for one in variables(there)}
            assert set(re.findall(r"&var-(\w+)=", url)) <= names


def test_nothing_provisioned_can_be_changed_in_the_browser() -> None:
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/ml_guard.yaml").read_text())["providers"][0]
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)
    source = yaml.safe_load((FOLDER / "provisioning/datasources/timescaledb.yaml").read_text())
    assert source["datasources"][0]["editable"] is False
