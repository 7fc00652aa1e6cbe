"""How does a model get a baseline without days of its own: from a reference data set, or from another model's?

Both may come before the model's first event, so that its first day has verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from stream.closing.capture import Captured, Database
from stream.closing.errors import UnknownVersionError
from stream.closing.reference import DataSet, Proposal
from stream.store.baselines import (
    Baseline,
    ask_for_rollup,
    baseline_versions,
    insert_baseline,
    live_endpoints,
    live_features,
    lock_model,
    read_baseline_features,
)
from stream.store.catalog import register_models
from stream.store.pool import Connection
from stream.weekdays import Weekdays

ModelKey = tuple[str, str, str]


@dataclass(frozen=True)
class FromData:
    """A data set as a baseline, and what is to be said of its columns."""

    baseline: Captured
    ignore: tuple[Proposal, ...]
    not_in_events: tuple[str, ...] | None
    not_in_data: tuple[str, ...] | None
    other_endpoints: tuple[str, ...] = ()
    """Where the model has had events, if it has had none at this one."""


async def preview_data(
    database: Database, key: ModelKey, data: DataSet, name: str, sha256: str, weekdays: Weekdays = None
) -> FromData:
    """What `store_data` would store."""
    baseline = replace(_of_data(key, data, name, sha256), weekdays=weekdays)
    async with database.acquire() as connection:
        live = await live_features(connection, *key)
        others = await live_endpoints(connection, *key[:2]) if live is None else ()
    return FromData(
        baseline,
        tuple(data.proposals),
        None if live is None else tuple(sorted(data.names - live)),
        None if live is None else tuple(sorted(live - data.names)),
        tuple(others),
    )


async def store_data(
    database: Database,
    key: ModelKey,
    data: DataSet,
    name: str,
    sha256: str,
    weekdays: Weekdays = None,
    *,
    captured_by: str,
    note: str,
) -> FromData:
    """Store the data set as the next version and make it the active baseline of its weekdays."""
    seen = await preview_data(database, key, data, name, sha256, weekdays)
    async with database.acquire() as connection, connection.transaction():
        await _lock(connection, key)
        baseline = replace(seen.baseline, captured_by=captured_by, note=note)
        stored = await _insert(connection, baseline)
        await ask_for_rollup(connection, *key)
    return replace(seen, baseline=stored)


async def copy(
    database: Database,
    key: ModelKey,
    source: tuple[str, str],
    version: int | None,
    *,
    captured_by: str,
    note: str,
) -> Sequence[Captured]:
    """Give the model's endpoint the versions of another one of its project, active at once.

    Parameters
    ----------
    source : tuple of str
        The other model and endpoint.
    version : int, optional
        By default all that are active there, each for its weekdays.

    Raises
    ------
    UnknownVersionError
    """
    origin = (key[0], *source)
    async with database.acquire() as connection, connection.transaction():
        found = [
            one
            for one in reversed(await baseline_versions(connection, *origin))
            if (one.active if version is None else one.version == version)
        ]
        if not found:
            raise UnknownVersionError(*source, version)
        await _lock(connection, key)
        stored = []
        for one in found:
            assert one.version is not None  # it was stored
            features = await read_baseline_features(connection, *origin, one.version)
            values = asdict(one) | dict(zip(("project_id", "model_id", "endpoint"), key, strict=True))
            twin = Captured(**values, features=features)
            name = f"{source[0]}/{source[1]} version {one.version}"
            stored.append(
                await _insert(
                    connection,
                    replace(twin, captured_by=captured_by, note=note or one.note, copied_from=name),
                )
            )
        await ask_for_rollup(connection, *key)
    return stored


def _of_data(key: ModelKey, data: DataSet, name: str, sha256: str) -> Captured:
    return Captured(
        *key,
        version=None,
        active=False,
        days=(),
        day_starts=(),
        window_start=None,
        window_end=None,
        events=data.rows,
        data_name=name,
        data_sha256=sha256,
        data_rows=data.rows,
        features=tuple(data.features),
    )


async def _lock(connection: Connection, key: ModelKey) -> None:
    """Lock the model; one that has had no event yet is made known first."""
    await register_models(connection, [key], datetime.now(UTC))
    await lock_model(connection, *key)


async def _insert(connection: Connection, baseline: Captured) -> Captured:
    row: Baseline = await insert_baseline(connection, baseline, baseline.features)
    return Captured(**asdict(row), features=baseline.features)
