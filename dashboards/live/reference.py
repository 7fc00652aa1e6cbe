"""How is a feature of a baseline put in few words?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_guard.cli import wording as w
from ml_guard.shapes import BaselineFeature
from ml_guard.weekdays import named

MEDIAN = 3
"""Where the median stands among a baseline's quantiles."""


def median(feature: BaselineFeature | None) -> float | None:
    """The median that a baseline keeps."""
    quantiles = feature.quantiles if feature else None
    return quantiles[MEDIAN] if quantiles and len(quantiles) > MEDIAN else None


def missing_share(feature: BaselineFeature | None) -> float | None:
    """The share of events without the feature."""
    if feature is None or not feature.n + feature.missing:
        return None
    return feature.missing / (feature.n + feature.missing)


def largest_bin(feature: BaselineFeature | None) -> str:
    """The label that most events have."""
    if feature is None or not feature.labels:
        return ""
    index = max(range(len(feature.labels)), key=lambda at: feature.shares[at])
    return f"{feature.labels[index]} {100 * feature.shares[index]:.1f} %"


def centre(feature: BaselineFeature | None) -> str:
    """The median of numbers, the most frequent label of the others."""
    if feature is None:
        return w.ABSENT
    return largest_bin(feature) or w.number(median(feature))


def for_templates() -> dict[str, Callable[..., Any]]:
    """The words that templates use."""
    return {"centre": centre, "missing_share": missing_share, "named": named}
