"""Which of a project's settings hold for a feature, and what kind does a baseline take it to be?

A setting names a model, an endpoint and a feature, each of them or `*`. They are looked up field by field: an exact
feature goes before an exact endpoint, that before an exact model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stream.bins import MAX_BINS, N_BINS, TOP_K
from stream.drift import DRIFT, WARNING
from stream.store.baselines import FeatureSetting

ALL = "*"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a capture freezes for a feature."""

    kind: str | None = None
    n_bins: int = N_BINS
    top_k: int = TOP_K
    warning: float = WARNING
    drift: float = DRIFT
    ignored: bool = False


def choices_for(settings: Iterable[FeatureSetting], model_id: str, endpoint: str, feature: str) -> Choices:
    """What holds for one feature.

    >>> settings = [
    ...     FeatureSetting("*", "*", "*", bins=20),
    ...     FeatureSetting("churn", "*", "*", bins=12, warning=0.15),
    ...     FeatureSetting("*", "*", "age", warning=0.2),
    ... ]
    >>> choices = choices_for(settings, "churn", "predict", "age")
    >>> choices.n_bins, choices.warning, choices.drift
    (12, 0.2, 0.25)
    """
    matching = [
        setting
        for setting in settings
        if setting.model_id in (ALL, model_id)
        and setting.endpoint in (ALL, endpoint)
        and setting.feature in (ALL, feature)
    ]
    matching.sort(key=_specificity, reverse=True)
    bins = _first(setting.bins for setting in matching)
    return Choices(
        kind=_first(setting.kind for setting in matching),
        n_bins=N_BINS if bins is None else min(bins, MAX_BINS),
        top_k=TOP_K if bins is None else bins,
        warning=_or(_first(setting.warning for setting in matching), WARNING),
        drift=_or(_first(setting.drift for setting in matching), DRIFT),
        ignored=_or(_first(setting.ignored for setting in matching), False),
    )


def choose_kind(values_by_kind: Mapping[str, int], wanted: str | None) -> str | None:
    """The kind that a baseline takes a feature to be: the wanted one where it has values, else the most frequent."""
    present: Sequence[str] = [kind for kind, n in values_by_kind.items() if n > 0]
    if wanted in present:
        return wanted
    return max(present, key=lambda kind: (values_by_kind[kind], kind), default=None)


def _specificity(setting: FeatureSetting) -> tuple[bool, bool, bool]:
    return setting.feature != ALL, setting.endpoint != ALL, setting.model_id != ALL


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value
