"""Which commands does `ml-guard` have?"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import sys
from typing import Annotated, Any

import typer

from ml_guard.cli import (
    alerts,
    apply,
    archives,
    baselines,
    check,
    compare,
    costs,
    dead_letters,
    demo,
    feature_settings,
    keys,
    ledger,
    losses,
    migrate,
    models,
    projects,
    purge,
    replay,
    report,
    results,
    validate,
)
from ml_guard.cli.failures import USAGE, guarded
from ml_guard.cli.output import stdout

HELP = (
    "Monitoring for ML inference: latency, predictions, features and drift per local day.\n\n"
    "Data goes to stdout, progress and errors to stderr. Exit codes: 0 fine, 1 a negative verdict, 2 the command or "
    "what it needs, 3 the server cannot be reached, 4 the server refused."
)

_NOT_UNDERSTOOD: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Click's root of usage errors: some versions of Typer carry a Click of their own, so it is found by its heir."""


def build() -> typer.Typer:
    """The whole command line; the stack's own commands are there where its source is."""
    app = typer.Typer(
        name="ml-guard",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    try:
        importlib.import_module("embedded.commands").register(app)
    except ImportError as error:
        if error.name not in ("embedded", "embedded.commands"):
            raise
    for module in (
        migrate, demo, replay, validate, projects, keys, check, models, baselines, feature_settings, results, compare, apply,
        report, alerts, costs, ledger, dead_letters, losses, purge, archives,
    ):  # fmt: skip
        module.register(app)
    _join_lines(app)
    return app


def _join_lines(app: typer.Typer) -> None:
    """Help texts are docstrings, broken where the source is; a paragraph is to be broken where the terminal is."""
    for command in app.registered_commands:
        command.help = _joined(command.help or inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            callback = group.typer_instance.registered_callback
            if callback is not None and callback.callback is not None:
                callback.help = _joined(callback.callback.__doc__ or "")
            _join_lines(group.typer_instance)


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _version(wanted: bool) -> None:
    if wanted:
        stdout().print(f"ml-guard {importlib.metadata.version('ml-guard')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="The server, such as http://localhost:8000 (or ML_GUARD_URL).")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="The API key (or ML_GUARD_API_KEY).")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = {"url": url, "api_key": api_key}


def run(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say comes as an error too
    command = typer.main.get_command(build())

    def call() -> int:
        try:
            answer = command.main(args=arguments, prog_name="ml-guard", standalone_mode=False)
        except typer.Abort:
            raise KeyboardInterrupt from None
        except _NOT_UNDERSTOOD as error:
            error.show(sys.stderr)
            return USAGE
        return answer if isinstance(answer, int) else 0

    return guarded(call)
