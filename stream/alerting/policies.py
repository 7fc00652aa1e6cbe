"""What can be alerted on, what are the defaults, and which policy holds for a model or a feature?

A policy has a name and a scope. Of the policies of one name the narrowest that fits holds, whole; one that is not
enabled turns its name off there. Two names are independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

EVERY = "*"
DAY_MINUTES = 24 * 60

PREDICTION = ("@y_pred", "@y_proba")
BUILT_IN = ("@latency_ms", *PREDICTION)
"""Scored like features; they have conditions of their own."""


class Subject(NamedTuple):
    """What an alert is about; model and endpoint are empty where it is the whole project."""

    project_id: str
    model_id: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A kind of finding, with the words of docs/alerts.md."""

    name: str
    finds: str
    threshold: str
    """What the threshold means, with its unit; empty: there is none."""
    window: str
    on_closed_days: bool = True
    per_feature: bool = False
    may_look_at_open_day: bool = False
    per_project: bool = False
    """Whether it is about a whole project and no model of it."""


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition(
            "drift",
            "features in drift on `days` closed days in a row, at least one of them other than the same weekday "
            "a week before; or a large part of the features on one closed day, two at least",
            "share of the scored features that is enough on one day",
            "`days` closed days",
            per_feature=True,
            may_look_at_open_day=True,
        ),
        Condition(
            "prediction",
            "predictions (`@y_pred`, `@y_proba`) in drift on `days` closed days in a row, at least one of them "
            "other than the same weekday a week before",
            "",
            "`days` closed days",
            per_feature=True,
            may_look_at_open_day=True,
        ),
        Condition(
            "latency",
            "a latency percentile of a closed day well above the median of up to 7 closed days before it, "
            "of 3 at least; days with less than 100 latencies do not count",
            "how many times the median",
            "1 closed day",
        ),
        Condition(
            "silence",
            "no request for `minutes`, while the same minutes a week before had some; in a model's first week "
            "the same minutes of the day before are taken",
            "requests that the earlier minutes must have had",
            "`minutes`",
            on_closed_days=False,
        ),
        Condition(
            "missing_values",
            "a feature's share of missing values above that of its baseline; days with less than 100 events "
            "do not count",
            "by how much, as a share",
            "1 closed day",
            per_feature=True,
        ),
        Condition(
            "feature_set",
            "a feature that the baseline does not have, or one of the baseline that no event had",
            "",
            "1 closed day",
            per_feature=True,
        ),
        Condition(
            "type_change",
            "a feature whose values are of another kind than in the baseline",
            "",
            "1 closed day",
            per_feature=True,
        ),
        Condition(
            "ledger",
            "events of a day that are accounted for neither as merged nor as dead, duplicate or deleted",
            "",
            "the last 7 days",
            on_closed_days=False,
            per_project=True,
        ),
        Condition(
            "expected_by",
            "no event of today by `local_time` in the project's zone: for models that run in batches",
            "",
            "the local day",
            on_closed_days=False,
        ),
        Condition(
            "cost",
            "a UTC day that cost more on AWS than `threshold`, or more than `rise_percent` above the mean of the "
            "`days` days before it, of 3 at least; the latest three days are looked at, since AWS restates them",
            "amount in the currency of the project's filter",
            "the latest 3 UTC days",
            on_closed_days=False,
            per_project=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What is looked for, where, and who is told."""

    name: str
    condition: str
    project_id: str = EVERY
    model_id: str = EVERY
    endpoint: str = EVERY
    feature: str = EVERY
    threshold: float | None = None
    days: int = 1
    minutes: int = 30
    percentile: float = 0.95
    local_time: str | None = None
    rise_percent: float | None = None
    open_day: bool = False
    severity: Severity = "warning"
    cooldown_minutes: int = 3 * DAY_MINUTES
    channels: tuple[str, ...] | None = None
    enabled: bool = True

    @property
    def scope(self) -> tuple[str, str, str, str]:
        """Project, model, endpoint, feature."""
        return self.project_id, self.model_id, self.endpoint, self.feature

    @property
    def narrowness(self) -> tuple[bool, ...]:
        """An exact feature before an exact endpoint, before an exact model, before an exact project."""
        return tuple(part != EVERY for part in reversed(self.scope))

    def fits(self, subject: Subject, feature: str = EVERY) -> bool:
        """Whether it is about this model, or about this feature of it."""
        wanted = (*subject, feature)
        return all(mine in (EVERY, theirs) for mine, theirs in zip(self.scope, wanted, strict=True))


DEFAULTS: tuple[Policy, ...] = (
    Policy("drift", "drift", threshold=0.1, days=2),
    Policy("prediction", "prediction", days=2, severity="critical", cooldown_minutes=DAY_MINUTES),
    Policy("latency", "latency", threshold=2.0),
    Policy("silence", "silence", threshold=20.0, minutes=30, severity="critical", cooldown_minutes=240),
    Policy("missing_values", "missing_values", threshold=0.1),
    Policy("feature_set", "feature_set"),
    Policy("type_change", "type_change", severity="critical", cooldown_minutes=DAY_MINUTES),
    Policy("ledger", "ledger", severity="critical", cooldown_minutes=DAY_MINUTES),
)
"""They hold for every project until a policy of the same name and scope replaces them."""

NOT_ON_BY_DEFAULT: tuple[Policy, ...] = (
    Policy("expected_by", "expected_by", severity="critical", cooldown_minutes=240),
    Policy("cost", "cost", days=7),
)
"""What a policy of these has where nothing is said; they need a time or an amount that nobody can guess."""


def default_of(condition: str) -> Policy:
    """What a new policy of this condition has where nothing is said.

    >>> default_of("silence").minutes, default_of("expected_by").severity
    (30, 'critical')
    """
    return next(policy for policy in (*DEFAULTS, *NOT_ON_BY_DEFAULT) if policy.condition == condition)


def with_defaults(stored: Iterable[Policy]) -> list[Policy]:
    """The stored policies, and the defaults that none of them replaces."""
    rows = list(stored)
    replaced = {(policy.name, policy.scope) for policy in rows}
    return rows + [policy for policy in DEFAULTS if (policy.name, policy.scope) not in replaced]


class PolicyBook:
    """All policies, and which holds where.

    >>> book = PolicyBook([Policy("drift", "drift", project_id="shop", enabled=False)])
    >>> book.of("drift", Subject("shop", "churn", "predict")) is None
    True
    >>> book.of("drift", Subject("bank", "churn", "predict")).days
    2
    """

    def __init__(self, stored: Iterable[Policy]) -> None:
        self._by_name: dict[str, list[Policy]] = {}
        for policy in with_defaults(stored):
            self._by_name.setdefault(policy.name, []).append(policy)

    @property
    def names(self) -> Sequence[str]:
        """The names of all policies."""
        return sorted(self._by_name)

    def of(self, name: str, subject: Subject, feature: str = EVERY) -> Policy | None:
        """The policy of this name that holds for a model, or for a feature of it; None: nothing is looked for."""
        fitting = [policy for policy in self._by_name.get(name, ()) if policy.fits(subject, feature)]
        best = max(fitting, key=lambda policy: policy.narrowness, default=None)
        return best if best is not None and best.enabled else None

    def any_of(self, name: str, subject: Subject) -> Policy | None:
        """A policy of this name that looks at the model, or else at some feature of it."""
        if (policy := self.of(name, subject)) is not None:
            return policy
        features = (
            policy
            for policy in self._by_name.get(name, ())
            if policy.enabled and policy.feature != EVERY and policy.fits(subject, policy.feature)
        )
        return next(features, None)

    def conditions(self, name: str) -> set[str]:
        """The conditions that policies of this name have."""
        return {policy.condition for policy in self._by_name[name]}

    def all(self) -> list[Policy]:
        """Every policy, by name."""
        return [policy for name in self.names for policy in self._by_name[name]]
