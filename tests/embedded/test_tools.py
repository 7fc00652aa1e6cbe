"""Does a machine without Java, Maven or Node hear one clear sentence before anything starts?"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded import tools
from embedded.errors import MissingToolError
from embedded.lifecycle import plan_for, up
from embedded.plan import Plan
from embedded.process import free_port, port_is_free
from embedded.settings import StackSettings

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program that answers with a text on a PATH that holds nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, answer: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
        path.chmod(0o755)

    return put


def test_what_is_new_enough_passes(program: Program) -> None:
    program("java", 'openjdk version "21.0.2" 2024-01-16')
    program("node", "v22.1.0")
    tools.require(tools.JAVA, tools.NODE)


def test_an_old_java_is_named_with_its_version_and_where_to_get_another(program: Program) -> None:
    program("java", 'openjdk version "11.0.22" 2024-01-16')
    with pytest.raises(MissingToolError, match=r"Java 17 or later .* `java` is 11\.0\.22: .*openjdk-17"):
        tools.require(tools.JAVA)


def test_all_that_is_missing_is_said_in_one_sentence(program: Program) -> None:
    program("node", "v18.20.0")
    with pytest.raises(MissingToolError) as refused:
        tools.require(tools.JAVA, tools.MAVEN, tools.NODE)
    said = str(refused.value)
    assert said.count(". ") == 0
    assert "`java` is not there" in said
    assert "`mvn` is not there" in said
    assert "`node` is 18.20.0" in said


def test_up_asks_before_anything_starts(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("java", 'openjdk version "1.8.0_292"')
    monkeypatch.setenv("ML_GUARD_DATA_DIR", str(tmp_path / "data"))
    api_port = free_port()
    with pytest.raises(MissingToolError, match=r"`java` is 8\.0: .* `node` is not there"):
        up(StackSettings(api_port=api_port))
    assert port_is_free(api_port)
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["run", "up.lock"]


def test_a_taken_port_of_kafka_is_replaced_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = StackSettings(kafka_port=port, database_port=free_port(), api_port=free_port())
        plan = plan_for(settings, said.append)
    assert plan.kafka_port != port
    assert plan.database_port == settings.database_port
    assert len(said) == 1
    assert str(port) in said[0]
    assert str(plan.kafka_port) in said[0]
    assert "ML_GUARD_KAFKA_PORT" in said[0]


@pytest.mark.parametrize("own", [None, "https://guard.example/ml"])
def test_alerts_link_to_this_stacks_dashboard_unless_another_address_is_set(own: str | None) -> None:
    settings = StackSettings(api_port=free_port(), public_url=own)
    plan = Plan.from_json(plan_for(settings, lambda text: None).to_json())
    assert plan.api_environment["ML_GUARD_PUBLIC_URL"] == (own or plan.dashboard_url)
