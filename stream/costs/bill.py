"""What is asked of Cost Explorer, and what do its answers come to, day by day? Without I/O, in exact decimals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from stream.costs.errors import BadBillError
from stream.costs.question import CostFilter

METRIC = "UnblendedCost"
"""What each usage cost on its day; amortized costs would spread what was paid ahead."""

EXACT = Context(prec=60, traps=[InvalidOperation])
"""Sums of Cost Explorer's amounts have some twenty digits; the usual 28 would round larger ones in silence."""

_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class DayCost:
    """What a project cost on a UTC day, in one currency."""

    day: date
    currency: str
    amount: Decimal
    services: Mapping[str, Decimal]
    estimated: bool


def question(chosen: CostFilter, first: date, last: date) -> dict[str, Any]:
    """The parameters of `GetCostAndUsage` for the days from `first` to `last`, both included.

    >>> question(CostFilter(services=["AWS Lambda"]), date(2025, 1, 30), date(2025, 1, 31))["TimePeriod"]
    {'Start': '2025-01-30', 'End': '2025-02-01'}
    """
    return {
        "TimePeriod": {"Start": str(first), "End": str(last + timedelta(days=1))},
        "Granularity": "DAILY",
        "Metrics": [METRIC],
        "Filter": chosen.expression(),
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }


@dataclass
class _Day:
    """What pages say of one day."""

    totals: list[tuple[str | None, Decimal]] = field(default_factory=list)
    groups: list[tuple[str, str | None, Decimal]] = field(default_factory=list)
    estimated: bool = False


def read_bill(pages: Iterable[Mapping[str, Any]], currency: str) -> list[DayCost]:
    """Costs by day and currency, in order. A day may be spread over several pages.

    Where AWS names services their sum is the amount, else the day's total. Services that cost nothing are left out.

    Parameters
    ----------
    pages : iterable of mapping
        Answers of `GetCostAndUsage`.
    currency : str
        That of a day which cost nothing and for which AWS names none.

    Raises
    ------
    BadBillError
        If an answer is not as documented.

    >>> total = {"UnblendedCost": {"Amount": "0.000000001", "Unit": "USD"}}
    >>> days = [{"TimePeriod": {"Start": "2025-01-01"}, "Total": total, "Groups": [], "Estimated": True}]
    >>> [(f"{day.day}", f"{day.amount:f}", day.estimated) for day in read_bill([{"ResultsByTime": days}], "USD")]
    [('2025-01-01', '0.000000001', True)]
    """
    found: dict[date, _Day] = {}
    for page in pages:
        for result in page.get("ResultsByTime", ()):
            _take(result, found)
    return [cost for day in sorted(found) for cost in _costs(day, found[day], currency)]


def _take(result: Mapping[str, Any], found: dict[date, _Day]) -> None:
    try:
        day = found.setdefault(date.fromisoformat(result["TimePeriod"]["Start"][:10]), _Day())
        day.estimated |= bool(result.get("Estimated", False))
        if METRIC in (total := result.get("Total") or {}):
            day.totals.append(_amount(total[METRIC]))
        for group in result.get("Groups") or ():
            day.groups.append((group["Keys"][0], *_amount(group["Metrics"][METRIC])))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadBillError(
            f"Cost Explorer's answer is not as documented ({type(error).__name__}): if it stays so, "
            "this release does not know AWS's newest format"
        ) from error


def _amount(metric: Mapping[str, Any]) -> tuple[str | None, Decimal]:
    """Currency, if there is one, and amount."""
    try:
        amount = Decimal(metric["Amount"])
    except InvalidOperation as error:
        raise ValueError("not a number") from error
    unit = metric.get("Unit") or ""
    known = unit if _CURRENCY.fullmatch(unit) else None
    if not amount.is_finite() or (amount and known is None):
        raise ValueError("not an amount of money")
    return known, amount


def _costs(day: date, said: _Day, currency: str) -> list[DayCost]:
    parts = said.groups or [("", unit, amount) for unit, amount in said.totals]
    units = sorted({unit for _, unit, _ in parts if unit is not None}) or [currency]
    costs = []
    for unit in units:
        amount, services = Decimal(0), dict[str, Decimal]()
        for service, of, part in parts:
            if of == unit:
                amount = EXACT.add(amount, part)
                if service and part:
                    services[service] = EXACT.add(services.get(service, Decimal(0)), part)
        costs.append(DayCost(day, unit, amount, services, said.estimated))
    return costs
