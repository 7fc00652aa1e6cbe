"""Which values has each feature in these events?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

Value = bool | float | str | None
Columns = list[tuple[str, Sequence[Value]]]


def columns(rows: Sequence[dict[str, Value]]) -> Columns:
    """The values of each name, one for every row; None where a row has no such name.

    >>> [(name, list(column)) for name, column in columns([{"a": 1.0}, {"b": "x"}])]
    [('a', [1.0, None]), ('b', [None, 'x'])]
    """
    names = list(rows[0])
    if set(map(len, rows)) == {len(names)}:
        # All rows alike, which is how one model's events are. A column at a time: across thousands of rows
        # `zip(*rows)` would miss the processor's cache with every value.
        with suppress(KeyError):
            return [(name, [row[name] for row in rows]) for name in names]
    every = dict.fromkeys(name for row in rows for name in row)
    return [(name, [row.get(name) for row in rows]) for name in every]
