"""What are the bins and shares of a reference data set, such as the table that a model was trained with?

Columns come in parts, one after the other; each is frozen when the next begins, so memory holds one. The rules are
those of `stream.bins`, on the raw values instead of a sketch of them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ml_guard.decoding import check_event
from ml_guard.errors import EventError
from stream.bins import LABELS_KNOWN, Floats, FrozenBins, Kind, freeze, freeze_values
from stream.closing.choices import Choices, choose_kind
from stream.closing.errors import DataSetError
from stream.closing.rows import LATENCY, PREDICTION, PROBABILITY
from stream.labels import LabelHash, labels_of
from stream.sketches import CategorySketch
from stream.store.baselines import BaselineFeature

Value = bool | float | str | None

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Which quantiles of a numeric feature a baseline keeps for people to look at; the bins have their own."""

ROWS_MOST = 2_000_000
"""16 MB a column and some of them while it is sorted; a sample of so many rows is exact to 0.1 % of a share."""
LABELS_MOST = 100_000
"""Different texts that are counted exactly; of more, a sketch is kept, with its bounds. No bin is of so rare a text."""

IDENTIFIES_FROM = 100
"""Values; among fewer, all different ones are no sign of an identifier."""

_BOUNDS = {LATENCY: (0.0, np.inf), PROBABILITY: (0.0, 1.0)}


class ColumnPart(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a data set: the next values of a column. Null is missing, and so is what is not finite."""

    feature: str
    values: list[Value]


_decode = msgspec.json.Decoder(ColumnPart).decode


@dataclass(frozen=True)
class Proposal:
    """A feature that had better be ignored, and why."""

    feature: str
    reason: str


class DataSet:
    """The features of a data set, a part of a column at a time.

    Parameters
    ----------
    choices : callable
        What the project has set for a feature.
    columns_most : int
        How many features it may have, the built-in ones left out.
    hide : LabelHash, optional
        What takes the place of its labels.
    """

    def __init__(
        self, choices: Callable[[str], Choices], columns_most: int, hide: LabelHash | None = None
    ) -> None:
        self._choices, self._columns_most, self._hide = choices, columns_most, hide
        self._column: _Column | None = None
        self._seen: set[str] = set()
        self._hash = hashlib.sha256()
        self.rows = 0
        self.features: list[BaselineFeature] = []
        self.proposals: list[Proposal] = []

    @property
    def names(self) -> frozenset[str]:
        """The columns that came, those without a value too."""
        return frozenset(self._seen)

    @property
    def sha256(self) -> str:
        """Of the lines as they came."""
        return self._hash.hexdigest()

    async def take(self, line: bytes) -> None:
        """The next line. Raises `DataSetError`."""
        self._hash.update(line + b"\n")
        try:
            part = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataSetError(
                f"a line is not {{'feature': name, 'values': [numbers, texts, booleans or null]}}: {error}"
            ) from None
        if self._column is None or part.feature != self._column.name:
            await self._finish()
            self._column = self._begin(part.feature)
        self._column.add(part.values)

    async def end(self) -> None:
        """No line follows. Raises `DataSetError`."""
        await self._finish()
        if not self.features:
            raise DataSetError("the data set has no column with a value")
        self.features.sort(key=lambda feature: feature.feature)

    def _begin(self, name: str) -> _Column:
        _check_name(name)
        if name in self._seen:
            raise DataSetError(f"the parts of column {name!r} do not follow one another")
        self._seen.add(name)
        if len(self._seen - {LATENCY, PREDICTION, PROBABILITY}) > self._columns_most:
            raise DataSetError(f"the data set has more than {self._columns_most} features: leave some out")
        return _Column(name, self._hide)

    async def _finish(self) -> None:
        column = self._column
        if column is None:
            return
        if len(self._seen) == 1:
            self.rows = column.rows
        if column.rows != self.rows:
            raise DataSetError(
                f"column {column.name!r} has {column.rows} values, the first one {self.rows}: a row is missing"
            )
        feature, proposal = await asyncio.to_thread(column.frozen, self._choices(column.name))
        self._column = None
        if feature is not None:
            self.features.append(feature)
        if proposal is not None:
            self.proposals.append(proposal)


class _Column:
    """The values of a column, by kind."""

    def __init__(self, name: str, hide: LabelHash | None) -> None:
        self.name = name
        self._hide = hide
        self.rows = 0
        self._numbers: list[Floats] = []
        self._truths: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._sketch: CategorySketch | None = None

    def add(self, values: Sequence[Value]) -> None:
        self.rows += len(values)
        if self.rows > ROWS_MOST:
            raise DataSetError(f"the data set has more than {ROWS_MOST:,} rows: take a random sample")
        types = set(map(type, values))
        if float in types:
            self._numbers.append(np.array([v for v in values if type(v) is float], dtype=np.float64))
        if bool in types:
            self._truths.update("true" if v else "false" for v in values if type(v) is bool)
        if str in types:
            self._count(v for v in values if type(v) is str)

    def _count(self, texts: Iterable[str]) -> None:
        self._labels.update(labels_of(texts, self._hide))
        if self._sketch is None and len(self._labels) > LABELS_MOST:
            self._sketch = CategorySketch()
        if self._sketch is not None:
            self._sketch.update(self._labels)
            self._labels.clear()

    def frozen(self, choices: Choices) -> tuple[BaselineFeature | None, Proposal | None]:
        numbers = np.concatenate(self._numbers) if self._numbers else np.empty(0)
        texts = self._sketch.n if self._sketch is not None else self._labels.total()
        counts = {Kind.NUMERIC: numbers.size, Kind.BOOLEAN: self._truths.total(), Kind.CATEGORICAL: texts}
        _check_bounds(self.name, numbers, texts + self._truths.total())
        chosen = choose_kind({str(kind): n for kind, n in counts.items()}, choices.kind)
        if chosen is None:
            return None, None
        kind = Kind(chosen)
        bins = self._bins(kind, numbers, choices)
        feature = self._feature(kind, counts[kind], bins, numbers, choices)
        reason = None if choices.ignored or self.name.startswith("@") else self._identifies(kind, numbers)
        return feature, None if reason is None else Proposal(self.name, reason)

    def _bins(self, kind: Kind, numbers: Floats, choices: Choices) -> FrozenBins:
        if kind is Kind.NUMERIC:
            return freeze_values(numbers, events=self.rows, n_bins=choices.n_bins)
        if kind is Kind.CATEGORICAL and self._sketch is not None:
            return freeze(self._sketch, events=self.rows, top_k=choices.top_k)
        counts = self._truths if kind is Kind.BOOLEAN else self._labels
        return freeze_values(counts, events=self.rows, kind=kind, top_k=choices.top_k)

    def _feature(
        self, kind: Kind, n: int, bins: FrozenBins, numbers: Floats, choices: Choices
    ) -> BaselineFeature:
        numeric = kind is Kind.NUMERIC
        return BaselineFeature(
            feature=self.name,
            kind=str(kind),
            n=n,
            missing=self.rows - n,
            edges=tuple(bins.edges.tolist()) if numeric else None,
            labels=None if numeric else bins.labels,
            other_labels=None if bins.others is None else tuple(sorted(bins.others)),
            shares=tuple(bins.q.tolist()),
            share_errors=tuple(bins.s.tolist()),
            warning=choices.warning,
            drift=choices.drift,
            ignored=choices.ignored,
            minimum=float(numbers.min()) if numeric else None,
            maximum=float(numbers.max()) if numeric else None,
            mean=float(numbers.mean()) if numeric else None,
            stddev=float(numbers.std()) if numeric else None,
            quantiles=tuple(np.quantile(numbers, QUANTILES, method="inverted_cdf").tolist())
            if numeric
            else None,
        )

    def _identifies(self, kind: Kind, numbers: Floats) -> str | None:
        """Why the column looks like a name of its rows rather than a property of them."""
        if kind is Kind.NUMERIC:
            if (
                numbers.size >= IDENTIFIES_FROM
                and (numbers == np.floor(numbers)).all()
                and np.unique(numbers).size == numbers.size
            ):
                return f"all {numbers.size:,} values are different whole numbers"
            return None
        if kind is Kind.BOOLEAN:
            return None
        if self._sketch is not None:
            return f"more than {LABELS_MOST:,} different texts"
        distinct, n = len(self._labels), self._labels.total()
        if distinct > LABELS_KNOWN or (n >= IDENTIFIES_FROM and distinct > n / 2):
            return f"{distinct:,} different texts in {n:,} values"
        return None


def _check_name(name: str) -> None:
    if name in (LATENCY, PREDICTION, PROBABILITY):
        return
    try:
        check_event({"project_id": "p", "model_id": "m", "features": {name: None}})
    except EventError as error:
        raise DataSetError(f"a column's name is not one of a feature: {error.detail}") from None


def _check_bounds(name: str, numbers: Floats, others: int) -> None:
    if name not in _BOUNDS:
        return
    low, high = _BOUNDS[name]
    if others or (numbers.size and not low <= numbers.min() <= numbers.max() <= high):
        wanted = "from 0 to 1" if high == 1.0 else "from 0"
        raise DataSetError(f"{name} must be numbers {wanted}")
