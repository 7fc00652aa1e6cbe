"""What are the columns of a DataFrame of pandas or polars, or of an Arrow table, as plain values?

No library is imported to find out whose table it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ml_guard.errors import ConfigError
from ml_guard.values import Plain, plain

_AS_THEY_ARE = frozenset((bool, str, type(None)))
_INT64 = 2**63


class Table(ABC):
    """A table's columns by name, read a slice at a time."""

    def __init__(self, table: Any) -> None:
        self._table = table

    names: Sequence[str]
    rows: int

    @abstractmethod
    def raw(self, name: str, start: int, stop: int) -> list[Any]:
        """Values of a column as the library gives them to Python."""

    def plain(self, name: str, start: int, stop: int, field: str) -> list[Plain]:
        """Values of a column as JSON can hold them. Raises `EventError` with `field`."""
        values = self.raw(name, start, stop)
        kinds = set(map(type, values))
        if kinds <= _AS_THEY_ARE:
            return values
        if kinds == {float} and all(map(math.isfinite, values)):
            return values
        if kinds == {int} and min(values) >= -_INT64 and max(values) < _INT64:
            return values
        return [plain(value, field) for value in values]


class PandasTable(Table):
    """A pandas DataFrame; its index is no column."""

    def __init__(self, table: Any) -> None:
        super().__init__(table)
        self.names = [str(name) for name in table.columns]
        self._at = {name: position for position, name in enumerate(self.names)}
        self.rows = len(table)

    def raw(self, name: str, start: int, stop: int) -> list[Any]:
        values: list[Any] = self._table.iloc[start:stop, self._at[name]].tolist()
        return values


class PolarsTable(Table):
    """A polars DataFrame."""

    def __init__(self, table: Any) -> None:
        super().__init__(table)
        self.names = list(table.columns)
        self.rows = table.height

    def raw(self, name: str, start: int, stop: int) -> list[Any]:
        values: list[Any] = self._table.get_column(name).slice(start, stop - start).to_list()
        return values


class ArrowTable(Table):
    """An Arrow table or record batch."""

    def __init__(self, table: Any) -> None:
        super().__init__(table)
        self.names = list(table.schema.names)
        self.rows = table.num_rows

    def raw(self, name: str, start: int, stop: int) -> list[Any]:
        column = self._table.column(self.names.index(name))
        values: list[Any] = column.slice(start, stop - start).to_pylist()
        return values


_KINDS: dict[tuple[str, str], type[Table]] = {
    ("pandas", "DataFrame"): PandasTable,
    ("polars", "DataFrame"): PolarsTable,
    ("pyarrow", "Table"): ArrowTable,
    ("pyarrow", "RecordBatch"): ArrowTable,
}


def table_of(frame: Any) -> Table:
    """The table that a frame is. Raises `ConfigError` if it is none, or if two columns have one name."""
    for kind in type(frame).__mro__:
        made = _KINDS.get((kind.__module__.partition(".")[0], kind.__name__))
        if made is not None:
            table = made(frame)
            twice = sorted({name for name in table.names if table.names.count(name) > 1})
            if twice:
                raise ConfigError(f"the frame has more than one column {', '.join(twice)}: rename them")
            return table
    name = f"{type(frame).__module__}.{type(frame).__qualname__}"
    cure = ": call collect() first" if type(frame).__name__ == "LazyFrame" else ""
    raise ConfigError(f"{name} is no DataFrame of pandas or polars and no Arrow table{cure}")
