"""Does the command line explain itself?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ml_guard.cli.app import build
from ml_guard.cli.reference import page
from tests.cli.conftest import Type, in_a_shell

WANTED = {
    "up", "down", "status", "doctor", "migrate", "demo", "replay", "validate", "metrics", "features", "drift", "ledger",
    "drift check",
    "project create", "project list", "project show", "project zone", "key create", "key list", "key revoke",
    "baseline capture", "baseline preview", "baseline list", "baseline show", "baseline activate",
    "dead list", "dead show", "dead replay", "models", "latency", "feature list", "feature set", "feature unset",
}  # fmt: skip


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            if child.invoke_without_command:
                yield " ".join((*path, name)), child
            yield from commands(child, (*path, name))
        else:
            yield " ".join((*path, name)), child


ALL = dict(commands(typer.main.get_command(build())))


def test_every_command_that_was_promised_is_there() -> None:
    assert set(ALL) >= WANTED


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_and_option_is_explained_in_sentences(name: str) -> None:
    command = ALL[name]
    assert re.match(r"[A-Z].*\.$", command.help, re.DOTALL), "the help is a sentence"
    for parameter in command.params:
        if parameter.name not in ("help", "install_completion", "show_completion"):
            assert parameter.help, f"--{parameter.name} has no help"
            assert parameter.help.endswith((".", ").")), f"--{parameter.name}: {parameter.help}"


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_that_prints_data_takes_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[name].params)


def test_help_names_the_commands_and_ends_with_0(typed: Type) -> None:
    seen = typed("--help")
    assert seen.code == 0
    assert all(name.split()[0] in seen.out for name in WANTED)


def test_the_reference_page_has_every_command() -> None:
    text = page()
    assert all(f"## `ml-guard {name}`" in text for name in ALL)


def test_the_version_is_printed() -> None:
    seen = in_a_shell("--version")
    assert seen.code == 0
    assert re.fullmatch(r"ml-guard \d+\.\d+\.\d+\n", seen.out)
