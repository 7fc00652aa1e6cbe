"""How much traffic was there, and how fast, between two instants? Asked of the database's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from stream.store.pool import Connection


class Of(NamedTuple):
    """A model's traffic; `endpoint` None: of all endpoints."""

    project_id: str
    model_id: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Traffic in [start, end); `latency_ms` in the order of the shares asked for, None without any latency."""

    start: datetime
    end: datetime
    requests: int
    latency_n: int
    mean_ms: float | None
    latency_ms: Sequence[float] | None


async def between(
    connection: Connection, of: Of, start: datetime, end: datetime, shares: Sequence[float]
) -> Stretch:
    """The whole of [start, end)."""
    row = await connection.fetchrow(
        """select requests, latency_n, latency_sum_ms / nullif(latency_n, 0) as mean_ms,
            ml_guard.histogram_percentiles(latency_low, latency_counts, $6::float8[]) as latency_ms
        from ml_guard.traffic_between($1, $2, $3, $4, $5)""",
        *of,
        start,
        end,
        list(shares),
    )
    assert row is not None
    return Stretch(start, end, *row.values())


async def series(
    connection: Connection, of: Of, start: datetime, end: datetime, step_s: int, shares: Sequence[float]
) -> list[Stretch]:
    """[start, end) in steps of whole minutes; those without traffic are left out."""
    rows = await connection.fetch(
        """select step_start, step_end, requests, latency_n, latency_mean_ms, latency_ms
        from ml_guard.latency_series($1, $2, $3, $4, $5, make_interval(secs => $6), $7)""",
        *of,
        start,
        end,
        step_s,
        list(shares),
    )
    return [Stretch(*row.values()) for row in rows]
