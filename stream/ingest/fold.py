"""How do the events of one model-day get into its state, a column at a time?

The type of a value decides its kind: a float is numeric, text is categorical even if it looks like a number, and a
boolean is a boolean. None is missing, which nobody counts here: it is what remains of the events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stream.bins import Kind
from stream.ingest.columns import Value
from stream.ingest.sorting import ModelDayEvents
from stream.ingest.state import ModelDay
from stream.labels import LabelHash, shortened

LATENCY, PREDICTION, PROBABILITY = "@latency_ms", "@y_pred", "@y_proba"
BUILT_IN = frozenset({LATENCY, PREDICTION, PROBABILITY})
_NONE = type(None)


LEFT_OUT, SHORTENED, ESTIMATED = "left out", "shortened", "estimated"
"""What a limit does to values: of a feature too many; in the short form of a long text; of a feature with more labels
than its sketch counts exactly."""


def fold(state: ModelDay, group: ModelDayEvents, max_features: int) -> Counter[str]:
    """Take the events into the state; how many values came beyond each limit."""
    beyond: Counter[str] = Counter()
    events, instants_us = group.events, group.instants_us
    state.saw(len(events), int(instants_us.min()), int(instants_us.max()))
    _fold_column(state, LATENCY, [event.latency_ms for event in events], beyond)
    _fold_column(state, PREDICTION, [event.y_pred for event in events], beyond, group.hide)
    _fold_column(state, PROBABILITY, [event.y_proba for event in events], beyond)
    most = max_features + len(state.names & BUILT_IN)
    for name, column in group.columns:
        if name not in state.names and len(state.names) >= most:
            beyond[LEFT_OUT] += sum(value is not None for value in column)
            continue
        _fold_column(state, name, column, beyond, group.hide)
    return beyond


def _fold_column(
    state: ModelDay, name: str, column: Sequence[Value], beyond: Counter[str], hide: LabelHash | None = None
) -> None:
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
            found, short = shortened(values, hide)  # type: ignore[arg-type]
            feature = state.feature(name, Kind.CATEGORICAL)
            feature.update_labels(found)
            beyond[SHORTENED] += short
            beyond[ESTIMATED] += 0 if feature.is_exact else len(values)
