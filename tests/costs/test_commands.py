"""Do the commands of `ml-guard costs` ask for the right thing, and print what comes?"""

from __future__ import annotations

import pytest

from tests.cli.conftest import FakeApi, Type, api, typed

__all__ = ["api", "typed"]

DAY = {
    "project_id": "shop", "day": "2025-03-04", "day_start": "2025-03-04T00:00:00Z", "day_end": "2025-03-05T00:00:00Z",
    "zone": "UTC", "currency": "USD", "amount": "1234.5600000001", "requests": 2_500_000,
    "cost_per_1000": "0.493824", "estimated": True, "pulled_at": "2025-03-05T06:00:00Z",
    "services": {"AWS Lambda": "0.5600000001", "Amazon SageMaker": "1200", "AmazonCloudWatch": "34"},
}  # fmt: skip
TINY = DAY | {"day": "2025-03-03", "amount": "0.000000001", "cost_per_1000": None, "requests": 0, "services": {},
              "estimated": False}  # fmt: skip
FILTER = {
    "project_id": "shop", "tags": {"team": ["ml", "data"]}, "services": [], "accounts": ["123456789012"],
    "currency": "USD", "updated_at": "2025-03-05T05:00:00Z", "updated_by": "ops",
    "next_pull_at": "2025-03-06T06:00:00Z", "pulled_at": "2025-03-05T06:00:00Z", "failures": 0, "last_error": None,
}  # fmt: skip


def test_costs_are_shown_with_their_largest_parts_and_json_has_every_digit(api: FakeApi, typed: Type) -> None:
    api.give_list("/costs/daily", DAY, TINY)
    shown = typed("costs", "show", "--project", "shop", "--from", "2025-03-03", "--to", "2025-03-04").out
    assert api.asked[-1][2] | {"limit": ["50"]} == {
        "project_id": ["shop"], "from": ["2025-03-03"], "to": ["2025-03-04"], "limit": ["50"],
    }  # fmt: skip
    large, tiny = (line for line in shown.splitlines() if "2025-03-0" in line)
    assert "1,234.56" in large
    assert "2,500,000" in large
    assert "estimated" in large
    assert "Amazon SageMaker 1,200.00, AmazonCloudWatch 34.00" in large
    assert "0.0000000010" in tiny
    first, second = typed("costs", "show", "--json").json
    assert (first["amount"], second["amount"], second["cost_per_1000"]) == (
        "1234.5600000001",
        "0.000000001",
        None,
    )
    assert first["services"]["AWS Lambda"] == "0.5600000001"


def test_a_pull_says_what_became_of_each_day_and_what_it_took(api: FakeApi, typed: Type) -> None:
    answer = {
        "project_id": "shop", "first": "2025-03-02", "last": "2025-03-04", "pulled": ["2025-03-04"],
        "kept": ["2025-03-03"], "unanswered": ["2025-03-02"], "aws_requests": 1, "items": [DAY, TINY],
    }  # fmt: skip
    api.give("POST", "/costs/pull", answer)
    words = (
        "costs",
        "pull",
        "--project",
        "shop",
        "--from",
        "2025-03-02",
        "--to",
        "2025-03-04",
        "--overwrite",
    )
    done = typed(*words)
    assert api.asked[-1][2] == {
        "project_id": ["shop"], "from": ["2025-03-02"], "to": ["2025-03-04"], "overwrite": ["true"],
    }  # fmt: skip
    assert (
        "1 day pulled with 1 request to AWS; 1 day there already (--overwrite asks again); "
        "1 day of which AWS said nothing." in done.out
    )
    assert typed(*words, "--json").json["items"][1]["amount"] == "0.000000001"


def test_a_filter_is_shown_set_and_taken_away(api: FakeApi, typed: Type) -> None:
    api.give("GET", "/costs/filter", FILTER | {"last_error": "AWS throttles", "failures": 2})
    api.give("PUT", "/costs/filter", FILTER)
    api.give("DELETE", "/costs/filter", None, 204)
    shown = typed("costs", "filter", "--project", "shop").out
    assert "team = ml or data" in shown
    assert "The last pull failed: AWS throttles." in shown
    typed(
        "costs",
        "filter",
        "--project",
        "shop",
        "--tag",
        "team=ml",
        "--tag",
        "team=data",
        "--account",
        "123456789012",
    )
    assert api.asked[-1][3] == {
        "project_id": "shop", "tags": {"team": ["ml", "data"]}, "accounts": ["123456789012"],
    }  # fmt: skip
    assert "No more costs of shop are pulled." in typed("costs", "filter", "--project", "shop", "--off").out
    assert api.asked[-1][0] == "DELETE"


@pytest.mark.parametrize(
    "words", [("--tag", "team"), ("--tag", "=ml"), ("--tag", "team="), ("--off", "--currency", "EUR")]
)
def test_a_filter_that_makes_no_sense_is_refused_before_anything_is_asked(
    api: FakeApi, typed: Type, words: tuple[str, ...]
) -> None:
    assert typed("costs", "filter", "--project", "shop", *words).code == 2
    assert api.asked == []


def test_a_refusal_of_aws_ends_with_its_own_exit_code(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/costs/pull", {"title": "no", "detail": "there are no AWS credentials"}, 424)
    done = typed("costs", "pull", "--project", "shop")
    assert (done.code, "there are no AWS credentials" in done.err) == (4, True)
