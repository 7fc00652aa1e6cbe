"""Which rows do pandas and polars take as they are? Flat dataclasses, whose types say what an empty column holds.

`pandas.DataFrame(client.drift(...))` and `polars.DataFrame(client.drift(...))` need nothing else. What is nested in
the API's answers is a row of its own here (`client.bins`) or left out. Instants are UTC.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import date, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from ml_guard import calls
from ml_guard.call import Dates, Listing
from ml_guard.cli.wording import bin_name
from ml_guard.resources import AsyncGroup, Group
from ml_guard.shapes import DriftDay, FeatureDay, MetricDay, Shape

P = ParamSpec("P")
T = TypeVar("T", bound=Shape)


@dataclasses.dataclass(frozen=True)
class BinRecord:
    """A bin of a feature's day, beside the baseline's; `label` is the bin as a person would call it."""

    project_id: str
    model_id: str
    endpoint: str
    feature: str
    kind: str
    day: date
    day_start: datetime
    status: str
    revision: int
    baseline_version: int | None
    verdict: str
    psi: float | None
    bin_index: int
    bin: str
    label: str
    lower: float | None
    upper: float | None
    baseline_share: float
    share: float
    points: float
    count: float | None
    contribution: float


_OF_DAYS = (
    "project_id", "model_id", "endpoint", "feature", "kind", "day", "day_start", "status", "revision",
    "baseline_version", "verdict", "psi",
)  # fmt: skip
_OF_BINS = ("bin", "lower", "upper", "baseline_share", "share", "points", "count", "contribution")


def bins_of(row: DriftDay) -> Iterator[BinRecord]:
    """A record for each bin of a feature's day."""
    shared: dict[str, Any] = {name: getattr(row, name) for name in _OF_DAYS}
    for index, one in enumerate(row.bins or ()):
        own = {name: one.get(name) for name in _OF_BINS}
        yield BinRecord(**shared, **own, bin_index=index, label=bin_name(one))


def flat(shape: type[T], without: Collection[str] = ()) -> Callable[[T], Iterator[Any]]:
    """What makes a record of a row: a dataclass with the same fields, those that are nested left out."""
    hints = get_type_hints(shape)
    names = [name for name in shape.__struct_fields__ if name not in without]
    made = dataclasses.make_dataclass(
        shape.__name__.removesuffix("Day") + "Record",
        [(name, hints[name]) for name in names],
        frozen=True,
    )
    made.__doc__ = shape.__doc__
    made.__module__ = __name__

    def records(row: T) -> Iterator[Any]:
        yield made(*(getattr(row, name) for name in names))

    return records


metric_records = flat(MetricDay)
feature_records = flat(FeatureDay, ("top",))
drift_records = flat(DriftDay, ("bins",))


def drift_with_bins(
    *,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    feature: str | None = None,
    day: Dates | None = None,
    from_: Dates | None = None,
    to: Dates | None = None,
    limit: int | None = None,
) -> Listing[DriftDay]:
    """The bins of features' days, a row each; `limit` counts the features' days."""
    return calls.drift_daily(
        project_id=project_id, model_id=model_id, endpoint=endpoint, feature=feature, bins=True, day=day, from_=from_,
        to=to, limit=limit,
    )  # fmt: skip


def _flat(
    build: Callable[P, Listing[T]], convert: Callable[[T], Iterator[Any]]
) -> Callable[Concatenate[Group, P], list[Any]]:
    @functools.wraps(build)
    def method(self: Group, /, *args: P.args, **kwargs: P.kwargs) -> list[Any]:
        return [one for row in self._connection.rows(build(*args, **kwargs)) for one in convert(row)]

    return method


def _async_flat(
    build: Callable[P, Listing[T]], convert: Callable[[T], Iterator[Any]]
) -> Callable[Concatenate[AsyncGroup, P], Awaitable[list[Any]]]:
    @functools.wraps(build)
    async def method(self: AsyncGroup, /, *args: P.args, **kwargs: P.kwargs) -> list[Any]:
        return [one for row in await self._connection.rows(build(*args, **kwargs)) for one in convert(row)]

    return method


class Records(Group):
    """Methods of a client whose rows pandas and polars take as they are."""

    metrics = _flat(calls.metrics_daily, metric_records)
    features = _flat(calls.features_daily, feature_records)
    drift = _flat(calls.drift_daily, drift_records)
    bins = _flat(drift_with_bins, bins_of)


class AsyncRecords(AsyncGroup):
    """`Records`, to be awaited."""

    metrics = _async_flat(calls.metrics_daily, metric_records)
    features = _async_flat(calls.features_daily, feature_records)
    drift = _async_flat(calls.drift_daily, drift_records)
    bins = _async_flat(drift_with_bins, bins_of)
