"""What does a model-day come to, given its state rows and a baseline?

Pure calculation: it runs in a thread, outside of any transaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from stream.bins import Floats, FrozenBins, Ints, Kind, Sketch, counts_of
from stream.closing.rows import bins_json, feature_statistics, metric_row
from stream.drift import Score, Status, benjamini_hochberg, score, verdict
from stream.sketches import CategorySketch, NumericSketch
from stream.store.baselines import Baseline, BaselineFeature
from stream.store.results import FeatureRow, ModelDayResult
from stream.store.snapshot import ModelDayState, ShardCounts, ShardSketch

IGNORED = "ignored"
"""The verdict on a feature that the baseline was told to ignore; `Status` has all others."""

FeatureKind = tuple[str, str]


@dataclass(frozen=True, eq=False)
class ScoringBaseline:
    """A baseline version with its bins unpacked."""

    version: int
    day_starts: frozenset[datetime]
    features: Mapping[str, BaselineFeature]
    bins: Mapping[str, FrozenBins]

    @classmethod
    def of(cls, baseline: Baseline, features: Iterable[BaselineFeature]) -> ScoringBaseline:
        """Unpack a stored version."""
        assert baseline.version is not None  # it was stored
        by_name = {feature.feature: feature for feature in features}
        bins = {name: feature.frozen_bins() for name, feature in by_name.items()}
        return cls(baseline.version, frozenset(baseline.day_starts), by_name, bins)


@dataclass(frozen=True, eq=False)
class MergedFeature:
    """A feature of one kind over all shards."""

    feature: str
    kind: str
    sketch: Sketch
    n_by_shard: dict[int, int]


@dataclass(frozen=True, eq=False)
class _Scored:
    """A row that has a score and waits for its q-value."""

    row: FeatureRow
    score: Score
    base: BaselineFeature


def merge_shards(rows: Iterable[ShardSketch]) -> dict[FeatureKind, MergedFeature]:
    """Unpack the sketches and merge those of one feature and kind.

    Raises
    ------
    stream.sketches.SketchError
        If a stored sketch is damaged or of a format that this version does not read.
    """
    merged: dict[FeatureKind, MergedFeature] = {}
    for row in rows:
        sketch = unpack(row.kind, row.sketch)
        there = merged.get((row.feature, row.kind))
        if there is None:
            merged[row.feature, row.kind] = MergedFeature(
                row.feature, row.kind, sketch, {row.shard: sketch.n}
            )
        else:
            there.sketch.merge(sketch)  # type: ignore[arg-type]  # one kind, one type
            merged[row.feature, row.kind] = replace(
                there, n_by_shard={**there.n_by_shard, row.shard: sketch.n}
            )
    return merged


def unpack(kind: str, data: bytes) -> Sketch:
    """The stored sketch of a feature of this kind."""
    return NumericSketch.from_bytes(data) if kind == Kind.NUMERIC else CategorySketch.from_bytes(data)


def covering_counts(feature: MergedFeature, rows: Sequence[ShardCounts]) -> Ints | None:
    """The day's counts, if every value of every shard was counted against the version; else nothing."""
    counted = {row.shard: row.n for row in rows}
    if any(n and counted.get(shard) != n for shard, n in feature.n_by_shard.items()):
        return None
    return np.sum([row.counts for row in rows], axis=0, dtype=np.int64) if rows else None


def result_of(
    state: ModelDayState, baseline: ScoringBaseline | None, counts: Iterable[ShardCounts] = ()
) -> ModelDayResult:
    """All rows of a model-day.

    Parameters
    ----------
    baseline : ScoringBaseline or None
        The version that the day is scored against.
    counts : iterable of ShardCounts
        The day's counters against that version.
    """
    merged = merge_shards(state.sketches)
    events = sum(row.n for row in state.events)
    by_feature: dict[FeatureKind, list[ShardCounts]] = {}
    for shard in counts:
        by_feature.setdefault((shard.feature, shard.kind), []).append(shard)

    rows: list[FeatureRow] = []
    scored: list[_Scored] = []
    exact: dict[FeatureKind, tuple[int, ...]] = {}
    for key, feature in merged.items():
        row = feature_statistics(feature.feature, feature.kind, feature.sketch, events)
        outcome = _outcome(row, baseline)
        rows.append(row)
        if outcome is not None or baseline is None:
            row.verdict = outcome or Status.MISSING_BASELINE
            continue
        base, bins = baseline.features[feature.feature], baseline.bins[feature.feature]
        counted = covering_counts(feature, by_feature.get(key, []))
        if counted is not None:
            exact[key] = tuple(counted.tolist())
        scored.append(_score(row, feature.sketch, base, bins, counted, events))
    _judge(scored)
    rows.extend(_absent(merged, baseline, events))
    rows.sort(key=lambda row: (row.feature, row.kind))
    return ModelDayResult(
        state=replace(state, sketches=()),  # a close keeps the results of all models of a day in memory
        baseline_version=None if baseline is None else baseline.version,
        baseline_overlaps=baseline is not None and state.key.day_start in baseline.day_starts,
        metric=metric_row(state, {key: feature.sketch for key, feature in merged.items()}, rows),
        features=tuple(rows),
        counts=exact,
    )


def _outcome(row: FeatureRow, baseline: ScoringBaseline | None) -> str | None:
    """The verdict of a row that is not scored; nothing if it is to be."""
    if baseline is None:
        return Status.MISSING_BASELINE
    base = baseline.features.get(row.feature)
    if base is None:
        return Status.NEW_FEATURE
    if base.ignored:
        return IGNORED
    if base.kind != row.kind:
        return Status.TYPE_CHANGED
    return None if row.n else Status.MISSING_FEATURE


def _absent(
    merged: Mapping[FeatureKind, MergedFeature], baseline: ScoringBaseline | None, events: int
) -> Iterable[FeatureRow]:
    """Rows for the baseline's features of which the day has nothing."""
    present = {name for name, _ in merged}
    for name, base in baseline.features.items() if baseline is not None else ():
        if name not in present:
            verdict_ = IGNORED if base.ignored else Status.MISSING_FEATURE
            rate = 1.0 if events else None
            yield FeatureRow(name, base.kind, n=0, missing=events, missing_rate=rate, verdict=verdict_)


def _score(
    row: FeatureRow,
    sketch: Sketch,
    base: BaselineFeature,
    bins: FrozenBins,
    counted: Ints | None,
    events: int,
) -> _Scored:
    x: Floats | Ints
    if counted is not None:
        x, s_day = bins.vector(counted, events), None
    else:
        x, s_day = counts_of(sketch, bins, events)
    found = score(x, bins.y, s=bins.s, s_day=s_day)
    row.method = "sketch" if counted is None else "counters"
    row.psi = found.psi
    row.psi_expected = found.expected if math.isfinite(found.expected) else None
    row.chi_square = found.chi_square
    row.degrees_of_freedom = found.dof
    row.p_value = found.p_value
    row.js_distance = found.js_distance
    row.l_infinity = found.l_infinity
    row.warning, row.drift = base.warning, base.drift
    row.bins = bins_json(bins, x, found.contributions)
    return _Scored(row, found, base)


def _judge(scored: Sequence[_Scored]) -> None:
    """Correct the p-values for all that were tested together, and give the verdicts."""
    q_values = benjamini_hochberg([item.score.p_value for item in scored])
    for item, q in zip(scored, q_values.tolist(), strict=True):
        item.row.q_value = q
        item.row.verdict = verdict(item.score, q, warning=item.base.warning, drift=item.base.drift)
