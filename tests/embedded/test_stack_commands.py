"""Do `ml-guard up`, `down`, `status` and `doctor` tell the truth and keep the data?"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedded.folder import is_running
from embedded.process import free_port

ROOT = Path(__file__).parents[2]
ML_GUARD = str(Path(sys.executable).with_name("ml-guard"))
PASSWORD = "not-to-be-shown"
PARTS = ["kafka", "database", "api", "worker-1", "dashboard"]


@dataclass
class Stack:
    """A stack of a test's own, driven by the command line as a person would."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.type([ML_GUARD, *arguments], **variables)

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        """The Makefile's target, in the environment that there is: nothing is installed anew."""
        ready = ["--old-file=.venv/.ready", "--old-file=.venv/.ready-dev"]
        return self.type(["make", "--silent", *ready, target, "STACK=embedded"])

    def type(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ML_GUARD_")}
        return subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=150,
            env={**inherited, "ML_GUARD_DATA_DIR": str(self.folder), **self.variables, **variables},
            check=False,
        )

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json").stdout))

    def state(self) -> dict[str, Any]:
        """What the supervisor wrote last: asked often, where the command would be slow."""
        return dict(json.loads((self.folder / "run" / "state.json").read_text()))

    def part(self, name: str) -> dict[str, Any]:
        return next(part for part in self.state()["parts"] if part["name"] == name)

    def is_back(self, name: str, restarts: int) -> bool:
        part = self.part(name)
        return bool(part["restarts"] == restarts and part["state"] == "running")

    def pids(self) -> dict[str, int]:
        return {part["name"]: part["pid"] for part in self.state()["parts"]}

    def psql(self, statement: str) -> str:
        url = json.loads((self.folder / "stack.json").read_text())["database_url"]
        command = ["psql", "--no-psqlrc", "-At", "-c", statement, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up before the first test, and removed after the last."""
    variables = {
        "ML_GUARD_API_PORT": str(free_port()),
        "ML_GUARD_KAFKA_PORT": str(free_port()),
        "ML_GUARD_DASHBOARD_PORT": str(free_port()),
        "ML_GUARD_DATABASE_PORT": str(free_port()),
        "ML_GUARD_DATABASE_PASSWORD": PASSWORD,
    }
    own = Stack(tmp_path_factory.mktemp("up") / "data", variables)
    started = own.run("up")
    try:
        assert started.returncode == 0, started.stderr
        yield own
    finally:
        own.run("down", "--delete")


def test_up_starts_every_part_and_a_second_up_changes_nothing(stack: Stack) -> None:
    before = stack.pids()
    assert list(before) == PARTS
    again = stack.run("up")
    assert again.returncode == 0
    assert "running already" in again.stderr
    assert stack.pids() == before


def test_stack_json_tells_programs_where_everything_is_and_is_private(stack: Stack) -> None:
    told = json.loads((stack.folder / "stack.json").read_text())
    assert told["url"] == f"http://127.0.0.1:{stack.variables['ML_GUARD_API_PORT']}"
    assert told["kafka"] == f"127.0.0.1:{stack.variables['ML_GUARD_KAFKA_PORT']}"
    assert told["api_key"] == "demo-key"
    for path in (stack.folder / "stack.json", stack.folder / "run" / "plan.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_grafanas_login_reads_the_demos_database_and_finds_the_dashboard(stack: Stack) -> None:
    told = json.loads((stack.folder / "stack.json").read_text())
    login = told["database_url"].replace(f"ml_guard:{PASSWORD}@", "ml_guard_grafana:ml_guard@")
    asked = ["psql", "--no-psqlrc", "-At", "-c", "select session_user, url from ml_guard.pages", login]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    assert answer == f"ml_guard_grafana|{told['dashboard']}"


def test_doctor_finds_a_healthy_stack_healthy(stack: Stack) -> None:
    examined = Stack(stack.folder).run("doctor", "--json")  # without a setting: stack.json says where it is
    found = json.loads(examined.stdout)
    assert [each for each in found["findings"] if not each["ok"]] == []
    assert examined.returncode == 0
    looked_at = {each["what"] for each in found["findings"]}
    assert {
        "broker",
        "topic ml_guard.events",
        "database",
        "schema",
        "partition 3",
        "ledger",
        "api",
    } <= looked_at


def test_no_command_shows_a_secret(stack: Stack) -> None:
    for command in (
        ("status",),
        ("status", "--json"),
        ("doctor",),
        ("doctor", "--json"),
        ("up",),
        ("up", "--json"),
    ):
        done = stack.run(*command)
        assert PASSWORD not in done.stdout + done.stderr


def test_a_killed_worker_is_named_with_its_reason_and_replaced(stack: Stack) -> None:
    killed = stack.pids()["worker-1"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: stack.is_back("worker-1", restarts=1))
    part = next(part for part in stack.status()["parts"] if part["name"] == "worker-1")
    assert part["pid"] != killed
    assert part["last_crash"]["how"] == "was killed by SIGKILL"
    assert "worker-1 was killed by SIGKILL at" in stack.run("status").stdout


def test_a_killed_database_comes_back_with_its_rows(stack: Stack) -> None:
    stack.psql("create table public.kept as select 42 as a")
    os.kill(stack.pids()["database"], signal.SIGKILL)
    wait_for(lambda: stack.is_back("database", restarts=1))
    assert stack.psql("select a from public.kept") == "42"
    wait_for(lambda: stack.run("doctor").returncode == 0)


def test_doctor_and_status_say_that_a_part_is_gone(stack: Stack) -> None:
    """The supervisor is frozen meanwhile, or it would have started the API again before anyone had looked."""
    supervisor = stack.state()["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(stack.pids()["api"], signal.SIGKILL)
        wait_for(lambda: not is_running(stack.part("api")))
        examined = stack.run("doctor", "--json")
        assert examined.returncode == 1
        assert {each["what"] for each in json.loads(examined.stdout)["findings"] if not each["ok"]} == {
            "process api",
            "api",
        }
        assert stack.run("status").returncode == 1
    finally:
        os.kill(supervisor, signal.SIGCONT)
    wait_for(lambda: stack.status()["ok"])


def test_up_after_the_supervisor_was_killed_leaves_no_stranger_behind(stack: Stack) -> None:
    state = stack.state()
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    wait_for(lambda: not is_running(state["supervisor"]))
    assert stack.run("status").returncode == 1
    assert stack.status()["phase"] == "supervisor gone"
    restarted = stack.run("up")
    assert restarted.returncode == 0, restarted.stderr
    assert not any(is_running(part) for part in state["parts"])
    assert stack.psql("select a from public.kept") == "42"


def test_down_ends_every_process_and_keeps_the_data_and_make_down_removes_it(stack: Stack) -> None:
    state = stack.state()
    assert stack.run("down").returncode == 0
    assert not any(is_running(part) for part in [state["supervisor"], *state["parts"]])
    assert stack.status()["phase"] == "not running"
    assert stack.run("status").returncode == 1
    assert (stack.folder / "database" / "PG_VERSION").exists()
    warm = stack.run("up")
    assert warm.returncode == 0, warm.stderr
    assert stack.psql("select a from public.kept") == "42"
    state = stack.state()
    deleted = stack.make("down")  # which is `ml-guard down --delete`
    assert deleted.returncode == 0, deleted.stderr
    assert not any(is_running(part) for part in [state["supervisor"], *state["parts"]])
    assert not stack.folder.exists()
    again = stack.run("down", "--delete", "--json")
    assert json.loads(again.stdout) == {"was_running": False, "deleted": True}


def test_a_taken_api_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Stack(tmp_path / "data").run("up", ML_GUARD_API_PORT=str(port))
    assert refused.returncode == 2
    assert str(port) in refused.stderr
    assert "ML_GUARD_API_PORT" in refused.stderr
    assert not (tmp_path / "data" / "kafka").exists()


def test_production_refuses_the_demo_password_before_anything_starts(tmp_path: Path) -> None:
    refused = Stack(tmp_path / "data").run(
        "up", ML_GUARD_ENV="production", ML_GUARD_API_PORT=str(free_port())
    )
    assert refused.returncode == 2
    assert "ML_GUARD_DATABASE_PASSWORD" in refused.stderr
    assert not (tmp_path / "data" / "kafka").exists()
