"""How do the events of one model-day get into its state, a column at a time?

The type of a value decides its kind: a float is numeric, text is categorical even if it looks like a number, and a
boolean is a boolean. None is missing, which nobody counts here: it is what remains of the events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter

import numpy as np
import numpy.typing as npt
from ml_guard.event import MAX_NAME, Event, short_label

from stream.bins import Kind
from stream.ingest.state import ModelDay

Instants = npt.NDArray[np.int64]
Value = bool | float | str | None

LATENCY, PREDICTION, PROBABILITY = BUILT_IN = ("@latency_ms", "@y_pred", "@y_proba")
_built_in: Callable[[Event], tuple[float | None, Value, float | None]] = attrgetter(
    "latency_ms", "y_pred", "y_proba"
)
_features: Callable[[Event], dict[str, Value]] = attrgetter("features")
_NONE = type(None)


def fold(state: ModelDay, events: Sequence[Event], instants_us: Instants, max_features: int) -> None:
    """Take the events into the state. A feature beyond the cap is not kept; its values are counted."""
    state.saw(len(events), int(instants_us.min()), int(instants_us.max()))
    for name, column in zip(BUILT_IN, zip(*map(_built_in, events), strict=True), strict=True):
        _fold_column(state, name, column)
    for name, column in columns(list(map(_features, events))):
        if name not in state.names and len(state.names) >= max_features + len(BUILT_IN):
            state.values_over_cap += sum(value is not None for value in column)
            continue
        _fold_column(state, name, column)


def columns(rows: Sequence[dict[str, Value]]) -> Iterable[tuple[str, Sequence[Value]]]:
    """The values of each name, one for every row; None where a row has no such name.

    >>> [(name, list(column)) for name, column in columns([{"a": 1.0}, {"b": "x"}])]
    [('a', [1.0, None]), ('b', [None, 'x'])]
    """
    names = rows[0].keys()
    width = len(names)
    if width and set(map(len, rows)) == {width}:
        try:
            if width == 1:
                (name,) = names
                return [(name, list(map(itemgetter(name), rows)))]
            return zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True)
        except KeyError:
            pass
    every = dict.fromkeys(name for row in rows for name in row)
    return [(name, [row.get(name) for row in rows]) for name in every]


def _fold_column(state: ModelDay, name: str, column: Sequence[Value]) -> None:
    types = set(map(type, column))
    for kind in types:
        if kind is _NONE:
            continue
        values = column if len(types) == 1 else [value for value in column if type(value) is kind]
        if kind is float:
            state.feature(name, Kind.NUMERIC).update_numbers(np.array(values, dtype=np.float64))
        elif kind is bool:
            true = sum(values)  # type: ignore[arg-type]
            labels = Counter({"true": true, "false": len(values) - true})
            state.feature(name, Kind.BOOLEAN).update_labels(+labels)
        else:
            state.feature(name, Kind.CATEGORICAL).update_labels(labels_of(values))  # type: ignore[arg-type]


def labels_of(texts: Sequence[str]) -> Counter[str]:
    """How often each label comes; long ones in their short form."""
    found = Counter(texts)
    strange = [label for label in found if len(label) > MAX_NAME or "\0" in label]
    for label in strange:
        found[short_label(label)] += found.pop(label)
    return found
