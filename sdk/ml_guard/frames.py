"""How do the rows of a DataFrame become events, all of them or a clear error?"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ml_guard.bulk import PART_ROWS, parts
from ml_guard.errors import ConfigError, EventError, IncompleteBatchError
from ml_guard.ingestion import Ingestion
from ml_guard.progress import Progress
from ml_guard.stats import Tally
from ml_guard.tabular import Table, table_of
from ml_guard.timestamps import parse_us
from ml_guard.values import plain_timestamp

Columns = Sequence[str] | Mapping[str, str] | None

_FIELDS = ("y_pred", "y_proba", "latency_ms", "event_id")
_BOUNDS = {"y_proba": 1.0, "latency_ms": float("inf")}
_encode = msgspec.json.Encoder().encode


class FrameReceipt(msgspec.Struct, frozen=True):
    """Every row of a frame arrived, except for those that the server rejected, by its reason."""

    rows: int
    sent: int
    rejected: dict[str, int]
    batch_id: str
    """The name under which a repeated call counts once; a random one if none was given."""
    spilled: int = 0
    """Rows that wait on disk, since the server was away (`spill_dir=`)."""


class Plan(msgspec.Struct, frozen=True):
    """Which column is what."""

    fixed: dict[str, Any]
    columns: dict[str, str]
    features: dict[str, str]
    timestamps: str | None


def send_frame(
    ingestion: Ingestion | None,
    frame: Any,
    names: Mapping[str, str | None],
    columns: Mapping[str, str | None],
    timestamp: str | datetime | None,
    features: Columns,
    batch_id: str | None,
    timeout_s: float,
    progress: bool | None,
) -> FrameReceipt:
    """Check all of a frame, then send it. Raises `ConfigError`, `EventError` or `IncompleteBatchError`."""
    named = batch_id or str(uuid.uuid4())
    if ingestion is None:
        return FrameReceipt(0, 0, {}, named)
    table = table_of(frame)
    plan = planned(table, names, columns, timestamp, features)
    _check(table, plan, ingestion)
    tally = Tally()
    with Progress("sending rows", table.rows, progress) as bar:
        given = ingestion.send_and_wait(
            parts(named, _rows(table, plan, ingestion), tally),
            tally,
            timeout_s,
            lambda: bar.show(tally.settled),
        )
    arrived = tally.sent + tally.spilled + tally.dropped["rejected"]
    if arrived < table.rows:
        raise IncompleteBatchError(table.rows, arrived, given, dict(tally.dropped), batch_id)
    return FrameReceipt(table.rows, tally.sent, dict(tally.rejected), named, tally.spilled)


def planned(
    table: Table,
    names: Mapping[str, str | None],
    columns: Mapping[str, str | None],
    timestamp: str | datetime | None,
    features: Columns,
) -> Plan:
    """What each column is for. Raises `ConfigError` if one is not there."""
    used = {field: columns.get(field) or (field if field in table.names else None) for field in _FIELDS}
    taken = {field: column for field, column in used.items() if column is not None}
    if timestamp is None and "timestamp" in table.names:
        timestamp = "timestamp"
    in_column = timestamp if isinstance(timestamp, str) and timestamp in table.names else None
    fixed: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    if in_column is None:
        fixed["timestamp"] = round(time.time(), 6) if timestamp is None else _instant(timestamp)
    if features is None:
        rest = (name for name in table.names if name not in taken.values() and name != in_column)
        chosen = {name: name for name in rest}
    elif isinstance(features, Mapping):
        chosen = dict(features)
    else:
        chosen = {name: name for name in features}
    missing = sorted({*taken.values(), *chosen.values()} - set(table.names))
    if missing:
        raise ConfigError(f"the frame has no column {', '.join(missing)}")
    return Plan(fixed, taken, chosen, in_column)


def _instant(timestamp: str | datetime) -> float | str:
    try:
        return plain_timestamp(timestamp)
    except EventError as error:
        raise EventError(
            error.reason, f"timestamp= is neither a column nor an instant: {error.detail}", error.field
        ) from None


def _check(table: Table, plan: Plan, ingestion: Ingestion) -> None:
    """Everything that could be refused, before anything is sent."""
    for start in range(0, table.rows, PART_ROWS):
        stop = min(start + PART_ROWS, table.rows)
        for name, column in plan.features.items():
            table.plain(column, start, stop, f"features.{name}")
        for field, column in plan.columns.items():
            values = table.plain(column, start, stop, field)
            if field in _BOUNDS:
                _check_bounds(values, field, start)
            elif field == "event_id" and any(
                value is not None and type(value) is not str for value in values
            ):
                raise EventError("invalid_event", f"column {column}: event_id must be text", field)
        if plan.timestamps is not None:
            _timestamps(table, plan.timestamps, start, stop)
    for raw in _encoded(table, plan, ingestion, 0, min(1, table.rows)):
        ingestion.encoder.checked(raw)


def _check_bounds(values: Sequence[Any], field: str, start: int) -> None:
    most = _BOUNDS[field]
    for row, value in enumerate(values, start):
        if value is None:
            continue
        if isinstance(value, (bool, str, msgspec.Raw)) or not 0 <= value <= most:
            wanted = "a finite number from 0" + (" to 1" if most == 1.0 else "")
            raise EventError("invalid_event", f"row {row}: {field} must be {wanted}", field)


def _timestamps(table: Table, column: str, start: int, stop: int) -> list[float | str]:
    times: list[float | str] = []
    for row, value in enumerate(table.raw(column, start, stop), start):
        try:
            time_of = plain_timestamp(value)
            parse_us(time_of)
        except EventError as error:
            raise EventError(error.reason, f"column {column}, row {row}: {error.detail}", column) from None
        times.append(time_of)
    return times


def _rows(table: Table, plan: Plan, ingestion: Ingestion) -> Iterator[tuple[str, bytes]]:
    project = plan.fixed.get("project_id") or ingestion.encoder.defaults["project_id"]
    for start in range(0, table.rows, PART_ROWS):
        for raw in _encoded(table, plan, ingestion, start, min(start + PART_ROWS, table.rows)):
            yield project, raw


def _encoded(table: Table, plan: Plan, ingestion: Ingestion, start: int, stop: int) -> Iterator[bytes]:
    fixed = {**ingestion.encoder.defaults, **plan.fixed}
    fields = {field: table.plain(column, start, stop, field) for field, column in plan.columns.items()}
    if plan.timestamps is not None:
        fields["timestamp"] = _timestamps(table, plan.timestamps, start, stop)  # type: ignore[assignment]
    names = tuple(plan.features)
    features = [
        table.plain(column, start, stop, f"features.{name}") for name, column in plan.features.items()
    ]
    values = zip(*features, strict=True) if features else ((),) * (stop - start)
    others = zip(*fields.values(), strict=True) if fields else ((),) * (stop - start)
    keys = tuple(fields)
    for own, row in zip(others, values, strict=True):
        event = {**fixed, **dict(zip(keys, own, strict=True)), "features": dict(zip(names, row, strict=True))}
        yield _encode(event)
