"""How does a table fit into a narrow terminal, without words and numbers that are broken in two?

What all rows share moves to a line above the table, what no row has is left out, and so are columns that can be spared.
Only then are texts folded. A table that fits is drawn as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from ml_guard.cli.wording import ABSENT

SHARED = frozenset(("project", "model", "endpoint", "day", "state", "version", "weekdays", "made of"))
"""Columns that are worth a line of their own where every row has the same in them."""
TIGHT = (0, 1, 0, 0)


class FittingTable(Table):
    """A table whose columns know which of them can be spared."""

    spared: frozenset[str] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if _width(self, console, options) <= options.max_width or not self.row_count:
            yield from super().__rich_console__(console, options)
            return
        shared = [column for column in self.columns if _name(column) in SHARED and _same(column)]
        kept = [column for column in self.columns if column not in shared and not _empty(column)]
        narrow = self._of(kept)
        for column in reversed(kept):
            if _width(narrow, console, options) <= options.max_width:
                break
            if _name(column) in self.spared:
                kept = [one for one in kept if not (_name(one) in self.spared and _of_one(one, column))]
                narrow = self._of(kept)
        if shared:
            yield Text("   ").join(_line(shared))
        yield from Table.__rich_console__(narrow, console, options)

    def _of(self, columns: Sequence[Column]) -> FittingTable:
        narrow = copy.copy(self)
        narrow.columns = [replace(column, _index=index) for index, column in enumerate(columns)]
        narrow.padding = TIGHT
        return narrow


class Short:
    """Parts of a text, all of them where there is room, else the first and the last ones."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = parts

    def __str__(self) -> str:
        return "  ".join(self._parts)

    def _fitted(self, width: int) -> str:
        whole, parts = str(self), self._parts
        if len(whole) <= width or len(parts) < 3:
            return whole
        for count in range(len(parts) - 2, 0, -1):
            text = "  ".join([*parts[:count], "…", parts[-1]])
            if len(text) <= width:
                return text
        return f"{parts[0]}  …"

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(
            min(len(self._fitted(1)), options.max_width), min(len(str(self)), options.max_width)
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self._fitted(options.max_width))


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    return table.__rich_measure__(console, options.update(width=10_000)).maximum


def _name(column: Column) -> str:
    return str(column.header)


def _of_one(column: Column, other: Column) -> bool:
    """Whether they are two sides of one figure, such as `p50 A` and `p50 B`."""
    return _name(column).split()[0] == _name(other).split()[0]


def _cells(column: Column) -> Iterator[str]:
    return (cell if isinstance(cell, str) else str(cell) for cell in column.cells)


def _same(column: Column) -> bool:
    found = set(_cells(column))
    return len(found) == 1 and found != {""}


def _empty(column: Column) -> bool:
    return set(_cells(column)) <= {"", ABSENT}


def _line(columns: Sequence[Column]) -> list[Text]:
    return [
        Text.assemble((f"{_name(column)} ", "quiet"), Text.from_markup(next(_cells(column))))
        for column in columns
    ]
