"""How do the labels of a project become hashes, those that are stored already too?

One transaction, in which nothing else of the project is written: as in a deletion, fences and leases change their
epoch, so that what was folded or scored before cannot be written after, and a checkpoint looks at the project's key
(`require_projects`). Days keep their counts, baselines their bins and shares: only the names change.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from stream.labels import HASHED, LabelHash
from stream.sketches import CategorySketch
from stream.store.deletion import fence_off
from stream.store.pool import Connection

Rename = Callable[[str], str]
_SKETCHES = 20
"""Sketches between two statements: full ones take a second, in which the transaction must not look idle."""


class PlainLabelsError(Exception):
    """Labels are about to be stored as they are, of a project that has meanwhile been told to hash them."""

    def __init__(self, project_id: str) -> None:
        super().__init__(
            f"The labels of project {project_id!r} are hashed since a moment ago: capture again."
        )


async def hash_labels(connection: Connection, project_id: str, hide: LabelHash) -> bool:
    """Store every label of the project as its hash from now on. False if it does so already, or is not there."""
    async with connection.transaction():
        # Days of it may lie in compressed chunks; TimescaleDB's own limit would refuse to touch so many.
        await connection.execute("set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        if not await connection.fetchval(
            "select true from ml_guard.project where project_id = $1 and label_key_id is null", project_id
        ):
            return False
        await fence_off(connection)
        if not await connection.fetchval(
            """update ml_guard.project set label_key_id = $2
               where project_id = $1 and label_key_id is null returning true""",
            project_id,
            hide.key_id,
        ):
            return False
        await _hash_baselines(connection, project_id, hide)
        days = await connection.fetch(
            "select distinct day_start from ml_guard.day_sketch where project_id = $1 union "
            "select distinct day_start from ml_guard.feature_day where project_id = $1",
            project_id,
        )
        for (day_start,) in days:
            await _hash_sketches(connection, (project_id, day_start), hide)
            await _hash_results(connection, (project_id, day_start), hide)
    return True


async def require_hashes(connection: Connection, project_id: str, labels: Callable[[], set[str]]) -> bool:
    """Whether the project hashes its labels, held so until the transaction ends.

    Raises
    ------
    PlainLabelsError
        If it does, and one of these labels is none: the project was changed since they were read.
    """
    key_id = await connection.fetchval(
        "select label_key_id from ml_guard.project where project_id = $1 for share", project_id
    )
    if key_id is not None and not all(map(HASHED.fullmatch, labels())):
        raise PlainLabelsError(project_id)
    return key_id is not None


async def _hash_baselines(connection: Connection, project_id: str, hide: LabelHash) -> None:
    rows = await connection.fetch(
        """select model_id, endpoint, version, feature, labels, other_labels from ml_guard.baseline_feature
           where project_id = $1 and kind = 'categorical'""",
        project_id,
    )
    await connection.executemany(
        """update ml_guard.baseline_feature set labels = $6, other_labels = $7
           where project_id = $1 and model_id = $2 and endpoint = $3 and version = $4 and feature = $5
             and kind = 'categorical'""",
        [
            (project_id, *row[:4], list(map(hide, row[4])), row[5] and sorted(map(hide, row[5])))
            for row in rows
        ],
    )
    await connection.execute(
        "update ml_guard.baseline set labels_hashed = true where project_id = $1", project_id
    )


async def _hash_sketches(connection: Connection, day: tuple[Any, ...], hide: Rename) -> None:
    rows = await connection.fetch(
        """select model_id, endpoint, feature, shard, sketch from ml_guard.day_sketch
           where project_id = $1 and day_start = $2 and kind = 'categorical' and sketch is not null""",
        *day,
    )
    for begin in range(0, len(rows), _SKETCHES):
        renamed = await asyncio.to_thread(_renamed_sketches, rows[begin : begin + _SKETCHES], hide)
        await connection.executemany(
            """update ml_guard.day_sketch set sketch = $7
               where project_id = $1 and day_start = $2 and model_id = $3 and endpoint = $4 and feature = $5
                 and kind = 'categorical' and shard = $6""",
            [(*day, *row) for row in renamed],
        )


def _renamed_sketches(rows: Sequence[Any], hide: Rename) -> list[tuple[Any, ...]]:
    return [(*row[:4], CategorySketch.from_bytes(row[4]).renamed(hide).to_bytes()) for row in rows]


async def _hash_results(connection: Connection, day: tuple[Any, ...], hide: Rename) -> None:
    rows = await connection.fetch(
        """select model_id, endpoint, feature, top, bins from ml_guard.feature_day
           where project_id = $1 and day_start = $2 and kind = 'categorical'""",
        *day,
    )
    await connection.executemany(
        """update ml_guard.feature_day set top = $6, bins = $7
           where project_id = $1 and day_start = $2 and model_id = $3 and endpoint = $4 and feature = $5
             and kind = 'categorical'""",
        [(*day, *row[:3], _renamed(row[3], hide), _renamed(row[4], hide)) for row in rows],
    )


def _renamed(text: str | None, hide: Rename) -> str | None:
    """A list of labels or of bins as a column."""
    if text is None:
        return None
    rows = json.loads(text)
    return json.dumps([row | {"label": hide(row["label"])} if "label" in row else row for row in rows])
