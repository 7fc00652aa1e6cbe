"""Does a command that fails say what, where and what to do, with the exit code that stands for it?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ml_guard.cli import connection
from tests.cli.conftest import FakeApi, Type, in_a_shell


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("metrics", "--day", "yesterday"), "--day yesterday is not a day"),
        (("drift", "--fail-on", "rain"), "--fail-on rain is not a verdict"),
        (("baseline", "capture", "--project", "p", "--model", "m"), "no days are named"),
        (("baseline", "capture", "--project", "p", "--model", "m", "--from", "2026-01-02"), "belong together"),
        (("baseline", "capture", "--project", "p", "--model", "m", "--from", "2026-01-02", "--to", "2026-01-01"), "before"),
        (("dead", "replay"), "nothing is chosen"),
        (("feature", "set", "--project", "p"), "nothing is set"),
        (("latency", "--project", "p", "--model", "m", "--last", "1w"), "--last 1w is not a length of time"),
        (("latency", "--project", "p", "--model", "m", "--from", "2026-01-01T00:00"), "is not an instant"),
        (("latency", "--project", "p", "--model", "m", "--from", "2026-01-02T00Z", "--to", "2026-01-01T00Z"), "not before"),
        (("dead", "replay", "1-2-3", "--reason", "invalid_json"), "exclude each other"),
        (("metrics", "--bogus"), "No such option"),
        (("nonsense",), "nonsense"),
        (("project", "create", "shop"), "--zone"),
    ],
)  # fmt: skip
def test_a_command_that_is_not_understood_ends_with_2(typed: Type, words: tuple[str, ...], said: str) -> None:
    seen = typed(*words)
    assert (seen.code, seen.out) == (2, "")
    assert said in " ".join(seen.err.split())


@pytest.mark.parametrize(
    ("status", "problem", "remedy"),
    [
        (401, "the key is not known", "--api-key"),
        (403, "the key has no scope read", "key create"),
        (404, "no project shop", ""),
        (422, "limit must be 1 to 1000", ""),
    ],
)
def test_a_refusal_ends_with_4_in_the_server_s_words(
    api: FakeApi, typed: Type, status: int, problem: str, remedy: str
) -> None:
    api.give("GET", "/metrics/daily", {"title": "No", "detail": problem}, status)
    seen = typed("metrics")
    assert (seen.code, seen.out) == (4, "")
    assert problem in " ".join(seen.err.split())
    assert remedy in seen.err


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_ends_with_3(api: FakeApi, typed: Type, status: int) -> None:
    api.give("GET", "/metrics/daily", {"title": "Later", "detail": "the database does not answer"}, status)
    seen = typed("metrics")
    assert seen.code == 3
    assert "the database does not answer" in " ".join(seen.err.split())


def test_a_server_that_is_not_there_ends_with_3_and_says_how_to_start_one(typed: Type) -> None:
    seen = typed("--url", "http://127.0.0.1:1", "metrics")
    assert seen.code == 3
    assert "http://127.0.0.1:1" in seen.err
    assert "ml-guard up" in seen.err


def test_brackets_in_an_error_are_not_taken_for_markup(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/metrics/daily", {"title": "No", "detail": "[bad] is no project"}, 404)
    assert "[bad] is no project" in typed("metrics").err


def test_the_address_is_the_option_then_the_environment_then_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "ML_GUARD_URL",
        "ML_GUARD_API_KEY",
        "ML_GUARD_KAFKA",
        "ML_GUARD_DEMO_KEY",
        "ML_GUARD_DATABASE_URL",
        "ML_GUARD_API_PORT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_GUARD_DATA_DIR", str(tmp_path))
    demo = connection.Address("http://localhost:8000", "demo-key", "127.0.0.1:9092")
    assert connection.find() == demo  # what `docker compose up` starts
    monkeypatch.setenv("ML_GUARD_API_PORT", "8010")
    assert connection.find() == replace(demo, url="http://localhost:8010")
    stack = {
        "url": "http://127.0.0.1:8123",
        "api_key": "demo-key",
        "kafka": "127.0.0.1:9123",
        "database_url": "db",
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    assert connection.find() == connection.Address(
        *(stack[name] for name in ("url", "api_key", "kafka", "database_url"))
    )
    monkeypatch.setenv("ML_GUARD_URL", "http://other:1")
    assert connection.find().url == "http://other:1"
    assert connection.find().api_key is None  # the stack's key is the stack's
    assert connection.find("http://third:2", "k").api_key == "k"


def test_a_stack_of_somebody_else_is_not_used_for_a_demo(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/health", {"status": "ok"})
    api.give("GET", "/keys/current", {"title": "No", "detail": "the key is not known"}, 401)
    seen = typed("demo")
    assert (seen.code, seen.out) == (4, "")
    said = " ".join(seen.err.split())
    assert f"an ML Guard that runs at {api.url} does not take this key" in said
    assert "ML_GUARD_API_PORT" in said
    assert not [method for method, *_ in api.asked if method != "GET"]


def test_a_broken_stack_file_is_no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ML_GUARD_DATA_DIR", str(tmp_path))
    (tmp_path / "stack.json").write_text("{")
    assert connection.read_stack() == {}


def test_colours_are_left_out_where_they_are_not_wanted(api: FakeApi, tmp_path: Path) -> None:
    api.give_list("/projects", {"project_id": "shop", "zone": "UTC"})
    environment = {"ML_GUARD_URL": api.url, "ML_GUARD_DATA_DIR": str(tmp_path)}
    assert "\x1b[" not in in_a_shell("project", "list", **environment).out
    assert "\x1b[" not in in_a_shell("project", "list", FORCE_COLOR="", NO_COLOR="1", **environment).out


def test_data_goes_to_stdout_and_errors_to_stderr_with_the_exit_code_in_a_shell_too() -> None:
    seen = in_a_shell("--url", "http://127.0.0.1:1", "metrics", "--json")
    assert (seen.code, seen.out) == (3, "")
    assert seen.err.startswith("Error: ")
    assert "Traceback" not in seen.err


@pytest.mark.parametrize(
    ("command", "variable", "text", "why"),
    [
        (("-m", "stream"), "ML_GUARD_MAX_LABELS", "7", "should be greater than or equal to 1000"),
        (("-m", "api"), "ML_GUARD_API_PORT", "x", "should be a valid integer"),
        (("-m", "dashboards.live"), "ML_GUARD_DASHBOARD_PROXIES", "x", ": 'x' does not appear to be"),
        (("-c", "import ml_guard.cli; ml_guard.cli.main()", "status"), "ML_GUARD_WORKERS", "x", "should be a valid"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named_in_a_sentence(
    command: tuple[str, ...], variable: str, text: str, why: str
) -> None:
    wrong = {**os.environ, variable: text, "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, *command], env=wrong, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == ""
    assert f"{variable}{'' if why[0] == ':' else ' '}{why}" in ended.stderr
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
