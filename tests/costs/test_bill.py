"""Do Cost Explorer's answers come to the right days, to the last digit? Compared with fractions, which never round."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.costs.bill import question, read_bill
from stream.costs.errors import BadBillError
from stream.costs.question import CostFilter
from stream.costs.window import LOOKS_BACK_DAYS, RESTATED_DAYS, first_needed
from tests.costs.conftest import grouped, total

DAY = date(2025, 3, 4)
AMOUNTS = st.decimals(-(10**12), 10**12, places=12, allow_nan=False).map(lambda amount: f"{amount:f}")
GROUP = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["Amazon SageMaker", "AWS Lambda", "Tax"]),
    st.sampled_from(["USD", "CNY"]),
    AMOUNTS,
)


@given(groups=st.lists(GROUP, max_size=20), sizes=st.lists(st.integers(1, 4), max_size=8))
def test_amounts_are_the_exact_sums_however_the_answer_is_cut_into_pages(
    groups: list[tuple[int, str, str, str]], sizes: list[int]
) -> None:
    results = [
        grouped(DAY + timedelta(days=n), {service: (amount, unit)}) for n, service, unit, amount in groups
    ]
    pages, rest = [], results
    for size in sizes:
        pages.append({"ResultsByTime": rest[:size]})
        rest = rest[size:]
    pages.append({"ResultsByTime": rest})
    expected: dict[tuple[date, str], Fraction] = defaultdict(Fraction)
    by_service: dict[tuple[date, str, str], Fraction] = defaultdict(Fraction)
    for n, service, unit, amount in groups:
        expected[DAY + timedelta(days=n), unit] += Fraction(amount)
        by_service[DAY + timedelta(days=n), unit, service] += Fraction(amount)
    costs = read_bill(pages, "USD")
    assert [(cost.day, cost.currency) for cost in costs] == sorted(expected)
    assert {(cost.day, cost.currency): Fraction(cost.amount) for cost in costs} == expected
    for cost in costs:
        assert sum(map(Fraction, cost.services.values())) == Fraction(cost.amount)
        for service, part in cost.services.items():
            assert Fraction(part) == by_service[cost.day, cost.currency, service]


@pytest.mark.parametrize(
    "amount", ["0.000000001", "0", "0.0000000000", "123456789012345678901234567890.000000001"]
)
def test_a_total_keeps_every_digit(amount: str) -> None:
    (cost,) = read_bill([{"ResultsByTime": [total(DAY, amount)]}], "USD")
    assert f"{cost.amount:f}" == amount


def test_a_day_is_estimated_if_any_page_says_so() -> None:
    pages = [
        {"ResultsByTime": [grouped(DAY, {"Tax": ("1", "USD")}, estimated=True)]},
        {"ResultsByTime": [grouped(DAY, {"AWS Lambda": ("1", "USD")})]},
    ]
    (cost,) = read_bill(pages, "USD")
    assert cost.estimated


def test_a_day_that_cost_nothing_is_a_zero_in_the_projects_currency_and_names_no_service() -> None:
    nothing = grouped(DAY, {"AWS Lambda": ("0", "N/A")})
    empty = grouped(DAY + timedelta(1), {})
    (first, second) = read_bill([{"ResultsByTime": [nothing, empty]}], "EUR")
    assert (first.currency, first.amount, first.services) == ("EUR", Decimal(0), {})
    assert (second.currency, second.amount, second.services) == ("EUR", Decimal(0), {})


def test_an_answer_without_days_is_no_cost_of_nothing() -> None:
    assert read_bill([{"ResultsByTime": []}, {}], "USD") == []


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"TimePeriod": {"Start": "soon"}},
        total(DAY, "much"),
        total(DAY, "NaN"),
        total(DAY, "1", "N/A"),
        total(DAY, "1", ""),
        {"TimePeriod": {"Start": "2025-03-04"}, "Groups": [{"Keys": []}]},
        {"TimePeriod": {"Start": "2025-03-04"}, "Groups": [{"Keys": ["AWS Lambda"], "Metrics": {}}]},
    ],
)
def test_an_answer_that_is_not_as_documented_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(BadBillError, match="not as documented"):
        read_bill([{"ResultsByTime": [result]}], "USD")


def test_one_condition_stands_alone_and_several_must_all_hold() -> None:
    assert CostFilter({"team": ["ml", "data"]}).expression() == {
        "Tags": {"Key": "team", "Values": ["ml", "data"]}
    }
    whole = CostFilter({"b": ["1"], "a": ["2"]}, ["AWS Lambda"], ["123456789012"]).expression()
    assert [next(iter(part.values()))["Key"] for part in whole["And"]] == [
        "a",
        "b",
        "SERVICE",
        "LINKED_ACCOUNT",
    ]
    assert question(CostFilter({"a": ["2"]}), DAY, DAY)["TimePeriod"] == {
        "Start": "2025-03-04",
        "End": "2025-03-05",
    }


@given(settled=st.sets(st.integers(0, 80)))
def test_one_question_covers_all_that_is_needed_and_no_day_before_it(settled: set[int]) -> None:
    first = first_needed(DAY, [DAY - timedelta(days=age) for age in settled])
    age = (DAY - first).days
    needed = {n for n in range(LOOKS_BACK_DAYS) if n < RESTATED_DAYS or n not in settled}
    assert age == max(needed)
