"""Which request is each method for costs? One function an endpoint, as in `calls`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ml_guard import cost_shapes as s
from ml_guard.call import Call, Dates, Listing, days_of, given


def costs_daily(
    *,
    project_id: str | None = None,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    order: str | None = None,
    limit: int | None = None,
) -> Listing[s.CostDay]:
    """A row a UTC day and currency; `day`, or `from_` to `to`, both included; `order` `desc` (default) or `asc`."""
    query = days_of(project_id, None, None, day, from_, to, order)
    return Listing("/costs/daily", s.CostDay, query, limit)


def pull_costs(
    project_id: str,
    *,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    overwrite: bool | None = None,
) -> Call[s.PulledCosts]:
    """Ask AWS for UTC days that have ended (yesterday, if none is named); days that are there stay, unless `overwrite`.

    AWS charges for each request of its Cost Explorer.
    """
    query = days_of(project_id, None, None, day, from_, to, None) | given(overwrite=overwrite)
    return Call("POST", "/costs/pull", s.PulledCosts, query)


def cost_filter(project_id: str) -> Call[s.CostFilter]:
    """Which of AWS's costs are the project's, and how its schedule stands."""
    return Call("GET", "/costs/filter", s.CostFilter, {"project_id": project_id})


def set_cost_filter(
    project_id: str,
    *,
    tags: Mapping[str, Iterable[str]] | None = None,
    services: Iterable[str] | None = None,
    accounts: Iterable[str] | None = None,
    currency: str | None = None,
) -> Call[s.CostFilter]:
    """Say which costs are the project's: all that is named must fit, each with one of its values."""
    body = given(
        project_id=project_id,
        tags=None if tags is None else {key: list(values) for key, values in tags.items()},
        services=None if services is None else list(services),
        accounts=None if accounts is None else list(accounts),
        currency=currency,
    )
    return Call("PUT", "/costs/filter", s.CostFilter, body=body)


def delete_cost_filter(project_id: str) -> Call[None]:
    """Pull no more costs of the project; what was pulled stays."""
    return Call("DELETE", "/costs/filter", None, {"project_id": project_id})
