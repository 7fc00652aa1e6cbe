"""Where does what the command line says go: data to stdout, everything else to stderr?

With `--json` the data is one JSON document, the same whatever the width of the terminal; without, it is drawn for
people. Colours follow NO_COLOR and the terminal; bars and spinners are drawn on a terminal only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.theme import Theme

PIPED_WIDTH = 160
"""Columns of a table that goes into a pipe: nothing is cut, and lines stay readable."""

THEME = Theme(
    {
        "good": "green",
        "warn": "yellow",
        "bad": "bold red",
        "quiet": "bright_black",
        "name": "bold",
        "key": "cyan",
        "heading": "bold",
    }
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def stdout() -> Console:
    """The console for data."""
    return Console(theme=THEME, width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def stderr() -> Console:
    """The console for progress, hints and errors."""
    return Console(theme=THEME, stderr=True, highlight=False)


def emit(data: Any, as_json: bool, draw: Callable[[], RenderableType]) -> None:
    """Print data as one JSON document, or drawn."""
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
        sys.stdout.write(text + "\n")
    else:
        stdout().print(draw())


def say(text: str) -> None:
    """One line for the person, on stderr."""
    stderr().print(text)


@contextmanager
def bar(label: str, total: int, unit: str = "events") -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; gives a function that takes what was done since."""
    with _progress(unit) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def rows_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar whose total comes later; gives a function that takes how many rows are done, and of how many."""
    with _progress("rows") as progress:
        tasks: list[TaskID] = []

        def show(done: int, total: int) -> None:
            if not tasks:
                tasks.append(progress.add_task(label, total=total))
            progress.update(tasks[0], completed=done)

        yield show


def _progress(unit: str) -> Progress:
    console = stderr()
    return Progress(
        SpinnerColumn(style="key"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32, complete_style="key", finished_style="good"),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit, style="quiet"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def spinner(label: str) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, nothing elsewhere; gives a function that says how far it has come."""
    console = stderr()
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(label, spinner="dots", spinner_style="key") as status:
        yield lambda text: status.update(f"{label} [quiet]{text}[/quiet]")
