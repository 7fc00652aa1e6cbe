"""What does a policy find in the results of a model's days? Plain functions of numbers, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median

from stream.alerting.policies import BUILT_IN, PREDICTION, Policy, PolicyBook, Subject

ENOUGH_EVENTS = 100
"""A rate or percentile of fewer says little: with 100, one of 0.1 has a standard deviation of 0.03."""

LATENCY_DAYS = 7
LATENCY_DAYS_LEAST = 3
"""A median of two days is their mean, which one bad day moves."""

AT_ONCE_LEAST = 2
"""Of a model with few features one is more than a tenth of them; one alone waits for its second day."""

WEEK = timedelta(days=7)
HISTORY = timedelta(days=22)
"""What of the past a day is judged with: the longest row of days (14) and a week before each."""


@dataclass(frozen=True, slots=True)
class FeatureFact:
    """What a day's row says of a feature that is worth looking at."""

    feature: str
    kind: str
    verdict: str
    psi: float | None = None
    psi_expected: float | None = None
    q_value: float | None = None
    n: int = 0
    missing_rate: float | None = None
    baseline_missing: float | None = None


@dataclass(frozen=True, slots=True)
class ModelDay:
    """A day of a model as it stands in the results."""

    day: date
    day_start: datetime
    zone: str
    revision: int
    requests: int
    latency_n: int = 0
    latency_ms: Mapping[float, float | None] = field(default_factory=dict)
    baseline_version: int | None = None
    features_scored: int = 0
    features: tuple[FeatureFact, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether its result is provisional."""
        return self.revision == 0


@dataclass(frozen=True, slots=True)
class FeatureFinding:
    """A feature that a finding names: what was measured, and from which value on it counts."""

    feature: str
    kind: str
    measure: str
    value: float | None
    bound: float | None = None
    expected: float | None = None
    q_value: float | None = None
    n: int = 0
    days: int = 1
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a policy found."""

    policy: Policy
    what: str
    since: datetime
    zone: str
    n: int = 0
    day: date | None = None
    day_start: datetime | None = None
    revision: int | None = None
    baseline_version: int | None = None
    value: float | None = None
    bound: float | None = None
    features: tuple[FeatureFinding, ...] = ()
    note: str = ""

    @property
    def provisional(self) -> bool:
        """Whether the day was still open."""
        return self.revision == 0


def judge(
    name: str, condition: str, book: PolicyBook, subject: Subject, days: Sequence[ModelDay]
) -> Finding | None:
    """What the policies `name` find on the last of these days; None: nothing.

    Parameters
    ----------
    condition : str
        One that is judged by days.
    days : sequence of ModelDay
        In order, all of them closed but perhaps the last.
    """
    return _JUDGES[condition](name, book, subject, days)


def _features(
    name: str, condition: str, book: PolicyBook, subject: Subject, day: ModelDay
) -> list[tuple[FeatureFact, Policy]]:
    """The day's features, each with its policy, where there is one that looks at such a day."""
    found = []
    for fact in day.features:
        policy = book.of(name, subject, fact.feature)
        if policy is not None and policy.condition == condition and (policy.open_day or not day.is_open):
            found.append((fact, policy))
    return found


def _run(days: Sequence[ModelDay], feature: str) -> list[ModelDay]:
    """The days up to the last on which the feature was in drift without a break, the latest first."""
    run = []
    for day in reversed(days):
        if not any(fact.feature == feature and fact.verdict == "drift" for fact in day.features):
            break
        run.append(day)
    return run


def _is_repetition(days: Sequence[ModelDay], day: ModelDay, feature: str) -> bool:
    """Whether the week's rhythm explains a drift: a Saturday differs from a Tuesday.

    The feature was in drift on the same weekday a week before; or near it, a warning, and neither on some day between.
    A drift that grows slowly is near it on all of them.
    """
    before = day.day - WEEK
    then = {_verdict(other, feature) for other in days if other.day == before}
    if "warning" in then:
        return any(before < other.day < day.day and not _verdict(other, feature) for other in days)
    return "drift" in then


def _verdict(day: ModelDay, feature: str) -> str:
    """`drift` or `warning`; empty for anything else."""
    found = (fact.verdict for fact in day.features if fact.feature == feature)
    return next((verdict for verdict in found if verdict in ("drift", "warning")), "")


def _drift(
    name: str,
    book: PolicyBook,
    subject: Subject,
    days: Sequence[ModelDay],
    *,
    condition: str = "drift",
    looks_at: Callable[[str], bool] = lambda feature: feature not in BUILT_IN,
) -> Finding | None:
    last = days[-1]
    drifted = [
        (fact, policy, _run(days, fact.feature))
        for fact, policy in _features(name, condition, book, subject, last)
        if fact.verdict == "drift" and looks_at(fact.feature)
    ]
    fresh = sum(not _is_repetition(days, last, fact.feature) for fact, _, _ in drifted)
    lasting = [
        len(run) >= (1 if policy.open_day else policy.days)
        and any(not _is_repetition(days, day, fact.feature) for day in run)
        for fact, policy, run in drifted
    ]
    enough = [
        policy.threshold is not None and fresh >= max(AT_ONCE_LEAST, policy.threshold * last.features_scored)
        for _, policy, _ in drifted
    ]
    chosen = [one for one, lasts, many in zip(drifted, lasting, enough, strict=True) if lasts or many]
    if not chosen:
        return None
    chosen.sort(key=lambda one: -(one[0].psi or 0.0))
    features = tuple(
        FeatureFinding(
            fact.feature, fact.kind, "PSI", fact.psi, None, fact.psi_expected, fact.q_value, fact.n, len(run)
        )
        for fact, _, run in chosen
    )
    since = min(run[-1].day_start for _, _, run in chosen)
    return _of_day(chosen[0][1], last, f"{_count(features)} in drift", features, since)


def _prediction(name: str, book: PolicyBook, subject: Subject, days: Sequence[ModelDay]) -> Finding | None:
    found = _drift(
        name, book, subject, days, condition="prediction", looks_at=lambda feature: feature in PREDICTION
    )
    if found is None:
        return None
    return _of_day(found.policy, days[-1], "predictions have shifted", found.features, found.since)


def _latency(name: str, book: PolicyBook, subject: Subject, days: Sequence[ModelDay]) -> Finding | None:
    policy, last = book.of(name, subject), days[-1]
    if policy is None or last.is_open or last.latency_n < ENOUGH_EVENTS:
        return None
    now = last.latency_ms.get(policy.percentile)
    before = [
        value
        for day in days[:-1]
        if day.latency_n >= ENOUGH_EVENTS and (value := day.latency_ms.get(policy.percentile)) is not None
    ][-LATENCY_DAYS:]
    if now is None or policy.threshold is None or len(before) < LATENCY_DAYS_LEAST:
        return None
    bound = policy.threshold * median(before)
    if now <= bound:
        return None
    what = (
        f"p{100 * policy.percentile:.0f} of the latency is {now:,.0f} ms, "
        f"the median of {len(before)} days before {median(before):,.0f} ms"
    )
    return _of_day(policy, last, what, (), last.day_start, value=now, bound=bound, n=last.latency_n)


def _missing_values(
    name: str, book: PolicyBook, subject: Subject, days: Sequence[ModelDay]
) -> Finding | None:
    last = days[-1]
    if last.requests < ENOUGH_EVENTS:
        return None
    found = []
    for fact, policy in _features(name, "missing_values", book, subject, last):
        if fact.missing_rate is None or fact.baseline_missing is None or policy.threshold is None:
            continue
        if fact.verdict in ("missing_feature", "type_changed"):  # conditions of their own
            continue
        bound = fact.baseline_missing + policy.threshold
        if fact.missing_rate >= bound:
            found.append(
                (policy, FeatureFinding(fact.feature, fact.kind, "missing", fact.missing_rate, bound,
                                        fact.baseline_missing, None, fact.n))
            )  # fmt: skip
    found.sort(key=lambda one: -((one[1].value or 0.0) - (one[1].bound or 0.0)))
    return _of_features(found, last, "with more missing values than in the baseline")


def _by_verdict(condition: str, verdicts: Mapping[str, str], words: str) -> Callable[..., Finding | None]:
    def look(name: str, book: PolicyBook, subject: Subject, days: Sequence[ModelDay]) -> Finding | None:
        found = [
            (policy, FeatureFinding(fact.feature, fact.kind, verdicts[fact.verdict], None, n=fact.n))
            for fact, policy in _features(name, condition, book, subject, days[-1])
            if fact.verdict in verdicts
        ]
        return _of_features(found, days[-1], words)

    return look


def _of_features(
    found: Sequence[tuple[Policy, FeatureFinding]], last: ModelDay, words: str
) -> Finding | None:
    if not found:
        return None
    features = tuple(feature for _, feature in found)
    return _of_day(found[0][0], last, f"{_count(features)} {words}", features, last.day_start)


def _of_day(
    policy: Policy,
    last: ModelDay,
    what: str,
    features: tuple[FeatureFinding, ...],
    since: datetime,
    *,
    value: float | None = None,
    bound: float | None = None,
    n: int | None = None,
) -> Finding:
    return Finding(
        policy,
        what,
        since,
        last.zone,
        n=last.requests if n is None else n,
        day=last.day,
        day_start=last.day_start,
        revision=last.revision,
        baseline_version=last.baseline_version,
        value=value,
        bound=bound,
        features=features,
    )


def _count(features: Sequence[FeatureFinding]) -> str:
    return "1 feature" if len(features) == 1 else f"{len(features)} features"


_JUDGES: Mapping[str, Callable[[str, PolicyBook, Subject, Sequence[ModelDay]], Finding | None]] = {
    "drift": _drift,
    "prediction": _prediction,
    "latency": _latency,
    "missing_values": _missing_values,
    "feature_set": _by_verdict(
        "feature_set", {"new_feature": "new", "missing_feature": "gone"}, "new or gone"
    ),
    "type_change": _by_verdict("type_change", {"type_changed": "another type"}, "of another type"),
}
