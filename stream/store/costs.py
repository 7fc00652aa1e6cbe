"""What did projects cost on UTC days, and which of AWS's costs are theirs?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from stream.costs.bill import DayCost
from stream.costs.question import CostFilter
from stream.store.pool import Connection
from stream.store.projects import held
from stream.store.reading import Order, Row, Where, order_by

COST_ORDER = ("day", "project_id", "currency")
_FILTER_COLUMNS = (
    "project_id", "tags", "services", "accounts", "currency", "updated_at", "updated_by", "next_pull_at", "pulled_at",
    "failures", "last_error",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredDay:
    """A day that was pulled."""

    day: date
    estimated: bool
    pulled_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A project whose costs the schedule is to ask for."""

    project_id: str
    chosen: CostFilter
    set_at: datetime
    failures: int


async def daily(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    after: Sequence[Any] | None = None,
    order: Order = "desc",
    limit: int,
) -> list[Row]:
    """Costs by `COST_ORDER`, each with the requests of its UTC day. `first` and `last` are both included."""
    where = Where()
    where.add("project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add("day >= ?", first)
    where.add("day <= ?", last)
    where.after(COST_ORDER, after, order)
    size = where.value(limit)
    rows = await connection.fetch(
        f"""with page as materialized (
                select project_id, day, day::timestamp at time zone 'UTC' as day_start,
                    (day + 1)::timestamp at time zone 'UTC' as day_end,
                    currency, amount, services, estimated, pulled_at
                from ml_guard.cost_day where {where.sql} order by {order_by(COST_ORDER, order)} limit {size}
            )
            select page.*, coalesce(t.requests, 0) as requests,
                page.amount * 1000 / nullif(t.requests, 0) as cost_per_1000
            from page left join (
                select project_id, day_start, sum(requests)::bigint as requests from ml_guard.traffic_day_utc
                where project_id in (select project_id from page)
                  and day_start between (select min(day_start) from page) and (select max(day_start) from page)
                group by project_id, day_start
            ) t using (project_id, day_start)
            order by {order_by(COST_ORDER, order)}""",  # noqa: S608  names of this module only
        *where.values,
    )
    return [dict(row) | {"services": msgspec.json.decode(row["services"]), "zone": "UTC"} for row in rows]


def filter_of(row: Row) -> CostFilter:
    """The filter in a row of `read_filters`."""
    return CostFilter(row["tags"], row["services"], row["accounts"], row["currency"])


async def read_filter(connection: Connection, project_id: str) -> Row | None:
    """A project's filter, with how its schedule stands; None: none is set."""
    row = await connection.fetchrow(
        f"select {', '.join(_FILTER_COLUMNS)} from ml_guard.cost_filter where project_id = $1",  # noqa: S608
        project_id,
    )
    return None if row is None else _filter_row(row)


async def put_filter(connection: Connection, project_id: str, chosen: CostFilter, by: str) -> Row:
    """Set it, in place of what was set; the schedule asks at once."""
    row = await connection.fetchrow(
        f"""insert into ml_guard.cost_filter (project_id, tags, services, accounts, currency, updated_by)
            values ($1, $2::text::jsonb, $3, $4, $5, $6)
            on conflict (project_id) do update set
                tags = excluded.tags, services = excluded.services, accounts = excluded.accounts,
                currency = excluded.currency, updated_by = excluded.updated_by, updated_at = now(),
                next_pull_at = now(), failures = 0, last_error = null
            returning {", ".join(_FILTER_COLUMNS)}""",  # noqa: S608
        project_id,
        msgspec.json.encode(chosen.tags).decode(),
        list(chosen.services),
        list(chosen.accounts),
        chosen.currency,
        by,
    )
    assert row is not None
    return _filter_row(row)


async def delete_filter(connection: Connection, project_id: str) -> bool:
    """Pull no more; what was pulled stays. False if none was set."""
    gone = await connection.fetchval(
        "delete from ml_guard.cost_filter where project_id = $1 returning true", project_id
    )
    return bool(gone)


def _filter_row(row: Any) -> Row:
    return dict(row) | {"tags": msgspec.json.decode(row["tags"])}


async def stored_days(connection: Connection, project_id: str, first: date, last: date) -> list[StoredDay]:
    """The days from `first` to `last` that have costs, in whatever currency."""
    rows = await connection.fetch(
        """select day, bool_or(estimated), min(pulled_at) from ml_guard.cost_day
            where project_id = $1 and day between $2 and $3 group by day order by day""",
        project_id,
        first,
        last,
    )
    return [StoredDay(*row) for row in rows]


async def write_days(
    connection: Connection, project_id: str, costs: Sequence[DayCost], at: datetime, *, replace: bool
) -> None:
    """Write whole days. Those that are there stay, or with `replace` give way. Belongs in a transaction.

    Of a project that was deleted while AWS was asked, nothing is written.
    """
    if not await held(connection, [project_id]):
        return
    days = sorted({cost.day for cost in costs})
    # One writer a project, so that two pulls at once leave one's days and not a mixture of currencies.
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended('ml_guard.cost_day ' || $1, 0))", project_id
    )
    if replace:
        await connection.execute(
            "delete from ml_guard.cost_day where project_id = $1 and day = any($2::date[])", project_id, days
        )
        kept: Collection[date] = ()
    else:
        there = await connection.fetch(
            "select distinct day from ml_guard.cost_day where project_id = $1 and day = any($2::date[])",
            project_id,
            days,
        )
        kept = {row["day"] for row in there}
    await connection.executemany(
        """insert into ml_guard.cost_day (project_id, day, currency, amount, services, estimated, pulled_at)
           values ($1, $2, $3, $4, $5::text::jsonb, $6, $7)""",
        [
            (project_id, cost.day, cost.currency, cost.amount, _services(cost), cost.estimated, at)
            for cost in costs
            if cost.day not in kept
        ],
    )


def _services(cost: DayCost) -> str:
    return msgspec.json.encode({name: f"{part:f}" for name, part in cost.services.items()}).decode()


async def read_due(connection: Connection, now: datetime) -> Due | None:
    """The project that has been due longest; None: none is."""
    row = await connection.fetchrow(
        f"""select {", ".join(_FILTER_COLUMNS)} from ml_guard.cost_filter
            where next_pull_at <= $1 order by next_pull_at, project_id limit 1""",  # noqa: S608
        now,
    )
    if row is None:
        return None
    found = _filter_row(row)
    return Due(found["project_id"], filter_of(found), found["updated_at"], found["failures"])


async def note_pull(
    connection: Connection,
    due: Due,
    next_at: datetime,
    *,
    at: datetime | None,
    failures: int,
    error: str | None,
) -> None:
    """How the schedule fared with a project, and when it asks again; nothing if its filter was set meanwhile.

    Parameters
    ----------
    at : datetime, optional
        When AWS answered; None: it did not.
    """
    await connection.execute(
        """update ml_guard.cost_filter
              set next_pull_at = $3, pulled_at = coalesce($4, pulled_at), failures = $5, last_error = $6
            where project_id = $1 and updated_at = $2""",
        due.project_id,
        due.set_at,
        next_at,
        at,
        failures,
        error,
    )
