"""What does docs/cli.md say? Every command with its help, as the command line itself would print it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from ml_guard.cli import failures
from ml_guard.cli.app import HELP, build

_WHERE = (
    "The server and the key: `--url` and `--api-key` before the command, else `ML_GUARD_URL` and `ML_GUARD_API_KEY`, "
    "else the embedded stack that `ml-guard up` has started from this folder, else `http://localhost:8000` "
    "with `demo-key`. Every command that prints data takes `--json`."
)
_HIDDEN = {"help", "install_completion", "show_completion"}


def page() -> str:
    """The page, as Markdown."""
    root = typer.main.get_command(build())
    lines = [
        "# The command line",
        "",
        "This page is generated from the help texts by `make docs`.",
        "",
        HELP,
        "",
        _WHERE,
        "",
        "| exit code | meaning |",
        "| --- | --- |",
        *_exit_codes(),
        "",
        *_commands(root, ("ml-guard",)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _exit_codes() -> Iterator[str]:
    for line in (failures.__doc__ or "").splitlines():
        code, _, meaning = line.strip().partition("  ")
        if code.isdigit():
            yield f"| {code} | {meaning.strip()} |"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children:
        if len(path) > 1 and command.invoke_without_command:
            yield from _command(command, path)
        for name, child in children.items():
            yield from _commands(child, (*path, name))
        return
    yield from _command(command, path)


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    yield f"## `{' '.join(path)}`"
    yield ""
    yield command.help or ""
    yield ""
    shown = [parameter for parameter in command.params if parameter.name not in _HIDDEN]
    if shown:
        yield "| option | what it does |"
        yield "| --- | --- |"
        for parameter in shown:
            yield f"| {_spelling(parameter)} | {_help(parameter)} |"
        yield ""


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = str(parameter.name).upper()
        return f"`{name}`" if parameter.required else f"`[{name}]`"
    value = "" if getattr(parameter, "is_flag", False) else f" {parameter.opts[0].lstrip('-').upper()}"
    return f"`{', '.join(parameter.opts)}{value}`"


def _help(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    if parameter.required and parameter.param_type_name == "option":
        text += " Required."
    if (
        parameter.default not in (None, "", False)
        and not callable(parameter.default)
        and not parameter.required
    ):
        text += f" By default {parameter.default}."
    return str(text)
