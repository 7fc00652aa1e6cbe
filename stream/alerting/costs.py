"""Did a day cost too much? Plain functions of amounts, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from ml_guard.cli.wording import money
from stream.alerting.findings import Finding
from stream.alerting.policies import Policy
from stream.alerting.traffic import Judgement
from stream.costs.window import RESTATED_DAYS

DAYS_LEAST = 3
"""A mean of fewer days is moved by each of them; a policy that asks for fewer gets what it asks for."""

MOVED = 3
NOTICED_SHARE = Decimal("0.01")
"""A service that moved by less of the day's cost is not worth a word."""


@dataclass(frozen=True, slots=True)
class CostFact:
    """What a project cost on a UTC day, in the currency that it is judged in."""

    day: date
    amount: Decimal
    services: Mapping[str, Decimal]
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class ProjectCosts:
    """The days of a project that has a filter, in order."""

    currency: str
    days: Sequence[CostFact] = ()


def judge_costs(policy: Policy, costs: ProjectCosts) -> Judgement:
    """What a policy finds in the latest days: as many as AWS restates within days, so that none is missed."""
    if not costs.days:
        return Judgement(unknown=f"no cost in {costs.currency} is stored")
    latest = costs.days[-1].day
    looked_at = [day for day in costs.days if day.day > latest - timedelta(days=RESTATED_DAYS)]
    found = [one for day in looked_at if (one := _judge_day(policy, costs, day)) is not None]
    if not found:
        return Judgement(over=f"the days up to {latest} are within bounds")
    newest = found[-1]
    return Judgement(
        Finding(
            policy,
            newest.what,
            midnight(found[0].day.day),
            "UTC",
            day=newest.day.day,
            day_start=midnight(newest.day.day),
            value=float(newest.day.amount),
            bound=float(newest.bound),
            note=newest.note,
        )
    )


def midnight(day: date) -> datetime:
    """When a UTC day begins."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, slots=True)
class _Dear:
    """A day above a bound."""

    day: CostFact
    bound: Decimal
    what: str
    note: str


def _judge_day(policy: Policy, costs: ProjectCosts, day: CostFact) -> _Dear | None:
    before = [other for other in costs.days if day.day - timedelta(days=policy.days) <= other.day < day.day]
    mean = _mean([other.amount for other in before])
    said = f"{day.day} cost {money(day.amount)} {costs.currency}"
    if policy.threshold is not None and day.amount > (bound := Decimal(repr(policy.threshold))):
        return _Dear(day, bound, f"{said}, more than {money(bound)}", _note(costs, day, before))
    if policy.rise_percent is None or len(before) < min(DAYS_LEAST, policy.days) or mean <= 0:
        return None
    bound = mean * (1 + Decimal(repr(policy.rise_percent)) / 100)
    if day.amount <= bound:
        return None
    rise = (day.amount / mean - 1) * 100
    words = f"{said}, {rise:,.0f} % above the {_mean_of(before)} ({money(mean)})"
    return _Dear(day, bound, words, _note(costs, day, before))


def _mean_of(before: Sequence[CostFact]) -> str:
    return "day before" if len(before) == 1 else f"mean of {len(before)} days before"


def _mean(amounts: Sequence[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0)) / len(amounts) if amounts else Decimal(0)


def _note(costs: ProjectCosts, day: CostFact, before: Sequence[CostFact]) -> str:
    """Which services moved, and whether AWS may still change the day."""
    names = {*day.services, *(name for other in before for name in other.services)}
    moved = {
        name: day.services.get(name, Decimal(0))
        - _mean([other.services.get(name, Decimal(0)) for other in before])
        for name in names
    }
    largest = sorted(moved.items(), key=lambda one: (-abs(one[1]), one[0]))[:MOVED]
    shown = [
        f"{name} {'+' if by > 0 else ''}{money(by)}"
        for name, by in largest
        if abs(by) >= NOTICED_SHARE * abs(day.amount) and by
    ]
    against = f"against the {_mean_of(before)}" if before else "with no day before to compare"
    parts = [f"{', '.join(shown)} {costs.currency} {against}."] if shown else []
    return " ".join([*parts, *(["AWS still calls it an estimate."] if day.estimated else [])])
