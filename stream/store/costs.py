"""What did projects cost on UTC days, and which of AWS's costs are theirs?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from stream.costs.question import CostFilter
from stream.store.pool import Connection
from stream.store.reading import Order, Row, Where, order_by

COST_ORDER = ("day", "project_id", "currency")
_FILTER_COLUMNS = (
    "project_id", "tags", "services", "accounts", "currency", "updated_at", "updated_by", "next_pull_at", "pulled_at",
    "failures", "last_error",
)  # fmt: skip


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
