"""Which values of a policy mean something for its condition, and what do they mean?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboards.live.words import duration
from ml_guard.alert_shapes import AlertPolicy
from ml_guard.cli import wording as w

EVERY = "*"
PERCENTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Condition:
    """A kind of finding. `threshold` says what its threshold is, or is empty; `values` are the others it has."""

    name: str
    finds: str
    threshold: str = ""
    values: tuple[str, ...] = ()
    per_feature: bool = False
    per_project: bool = False


CONDITIONS = {
    one.name: one
    for one in (
        Condition(
            "drift",
            "features in drift on closed days in a row, or a large part of them on one",
            "share of the features that is enough on one day",
            ("days", "open_day"),
            per_feature=True,
        ),
        Condition(
            "prediction", "the prediction in drift on closed days in a row", "", ("days", "open_day"), True
        ),
        Condition(
            "latency",
            "a latency percentile of a closed day far above the days before",
            "times the median of the days before",
            ("percentile",),
        ),
        Condition(
            "silence",
            "no request for some minutes, while a week before there were some",
            "requests that the same minutes had a week before, at least",
            ("minutes",),
        ),
        Condition(
            "missing_values",
            "more missing values of a feature than in its baseline",
            "share of missing values above the baseline's",
            per_feature=True,
        ),
        Condition("feature_set", "a feature that is new, or that vanished", per_feature=True),
        Condition("type_change", "a feature whose values are of another kind", per_feature=True),
        Condition("ledger", "events that nobody can account for", per_project=True),
        Condition(
            "cost",
            "a day that cost more on AWS than an amount, or than the days before",
            "amount, in the currency of the project's filter",
            ("rise_percent", "days"),
            per_project=True,
        ),
        Condition(
            "expected_by", "no event of today by a local time: for models in batches", "", ("local_time",)
        ),
    )
}


def condition_of(name: str) -> Condition:
    """A condition; one that a newer server has is shown with its name."""
    return CONDITIONS.get(name) or Condition(name, name)


def scope_of(policy: AlertPolicy) -> str:
    """Where it holds, in words.

    >>> scope_of(AlertPolicy(name="d", condition="drift", project_id="shop", model_id="churn", endpoint="*",
    ...     feature="*", severity="info", cooldown_minutes=60))
    'shop · churn'
    """
    parts = (policy.project_id, policy.model_id, policy.endpoint, policy.feature)
    return " · ".join(part for part in parts if part != EVERY) or "everywhere"


def window_of(policy: AlertPolicy) -> str:
    """Over what it looks, in words."""
    days = f"{policy.days} closed day{'' if policy.days == 1 else 's'}"
    return {
        "drift": f"{days}{', the open day too' if policy.open_day else ''}",
        "prediction": f"{days}{', the open day too' if policy.open_day else ''}",
        "latency": f"p{100 * policy.percentile:.0f} of a closed day",
        "silence": duration(policy.minutes),
        "expected_by": f"by {policy.local_time}",
        "ledger": "the last 7 days",
        "cost": "the latest 3 days" if policy.rise_percent is None else f"{policy.days} days before",
    }.get(policy.condition, "1 closed day")


def threshold_of(policy: AlertPolicy) -> str:
    """Its threshold with its unit."""
    if policy.condition == "cost" and policy.rise_percent is not None:
        return f"+{policy.rise_percent:g} %"
    if policy.threshold is None or not condition_of(policy.condition).threshold:
        return w.ABSENT
    if policy.condition in ("drift", "missing_values"):
        return f"{100 * policy.threshold:.3g} %"
    return f"{policy.threshold:.4g} ×" if policy.condition == "latency" else f"{policy.threshold:.4g}"


def for_templates() -> dict[str, Callable[..., Any]]:
    """The words that templates use."""
    return {word.__name__: word for word in (condition_of, scope_of, window_of, threshold_of)}
