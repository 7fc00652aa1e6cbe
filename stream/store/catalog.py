"""Which projects, models and baselines does a worker fold for?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from stream.bins import FrozenBins, Kind
from stream.days import EARLIEST_US, to_us
from stream.store.pool import Connection
from stream.weekdays import Weekdays

ModelKey = tuple[str, str, str]
"""Project, model, endpoint."""
BaselineKey = tuple[str, str, str, int]
"""A model key and a version."""
Capture = tuple[datetime, bool]
"""When, and whether its labels are hashes: tells a version from one of the same number in a project made anew."""
FeatureKey = tuple[str, Kind]


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project and the zones that it has had, the oldest first."""

    project_id: str
    dedupe_by_event_id: bool
    label_key_id: str | None
    zones: tuple[tuple[int, str], ...]


async def read_generation(connection: Connection) -> int:
    """A number that every change of what is read here raises."""
    return int(await connection.fetchval("select generation from ml_guard.catalog"))


async def read_projects(connection: Connection) -> list[ProjectRow]:
    """All projects that have a zone."""
    rows = await connection.fetch(
        """select p.project_id, p.dedupe_by_event_id, p.label_key_id, z.effective_from, z.zone
             from ml_guard.project p join ml_guard.project_zone z using (project_id)
            order by p.project_id, z.effective_from"""
    )
    zones: dict[str, list[tuple[int, str]]] = defaultdict(list)
    settings: dict[str, tuple[bool, str | None]] = {}
    for project_id, by_event_id, label_key_id, effective_from, zone in rows:
        zones[project_id].append((_instant(effective_from), zone))
        settings[project_id] = by_event_id, label_key_id
    return [
        ProjectRow(project_id, *settings[project_id], tuple(found)) for project_id, found in zones.items()
    ]


def _instant(value: datetime) -> int:
    """asyncpg gives minus infinity as a naive `datetime.min`."""
    return EARLIEST_US if value.tzinfo is None else to_us(value)


async def read_models(connection: Connection) -> dict[str, set[tuple[str, str]]]:
    """Every project's models and endpoints."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in await connection.fetch("select project_id, model_id, endpoint from ml_guard.model"):
        found[row[0]].add((row[1], row[2]))
    return found


async def register_models(connection: Connection, models: Iterable[ModelKey], now: datetime) -> None:
    """Make models known that were seen for the first time; of a project that is gone meanwhile, nothing."""
    rows = sorted(models)
    if rows:
        await connection.execute(
            """insert into ml_guard.model (project_id, model_id, endpoint, first_seen_at)
               select r.project_id, r.model_id, r.endpoint, $1
                 from unnest($2::text[], $3::text[], $4::text[]) as r(project_id, model_id, endpoint)
                 join ml_guard.project using (project_id)
               on conflict do nothing""",
            now,
            *zip(*rows, strict=True),
        )


async def read_active_versions(connection: Connection) -> dict[ModelKey, list[tuple[int, Weekdays]]]:
    """The baseline versions that each model's new days are pinned to, with their weekdays."""
    rows = await connection.fetch(
        "select project_id, model_id, endpoint, version, weekdays from ml_guard.baseline where active"
    )
    found: dict[ModelKey, list[tuple[int, Weekdays]]] = defaultdict(list)
    for project_id, model_id, endpoint, version, weekdays in rows:
        found[project_id, model_id, endpoint].append((version, tuple(weekdays) if weekdays else None))
    return found


async def read_captures(connection: Connection, keys: Collection[BaselineKey]) -> dict[BaselineKey, Capture]:
    """How these baselines were captured; a key without a baseline is left out."""
    if not keys:
        return {}
    rows = await connection.fetch(
        """select b.project_id, b.model_id, b.endpoint, b.version, b.captured_at, b.labels_hashed
             from unnest($1::text[], $2::text[], $3::text[], $4::integer[])
                  as k(project_id, model_id, endpoint, version)
             join ml_guard.baseline b using (project_id, model_id, endpoint, version)""",
        *zip(*keys, strict=True),
    )
    return {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in rows}


async def read_bins(
    connection: Connection, keys: Collection[BaselineKey]
) -> dict[BaselineKey, dict[FeatureKey, FrozenBins]]:
    """The frozen bins of these baselines; a key without a baseline is left out."""
    if not keys:
        return {}
    rows = await connection.fetch(
        """select b.project_id, b.model_id, b.endpoint, b.version, f.feature, f.kind, f.n + f.missing as m,
                  f.edges, f.labels, f.other_labels, f.shares, f.share_errors
             from unnest($1::text[], $2::text[], $3::text[], $4::integer[])
                  as k(project_id, model_id, endpoint, version)
             join ml_guard.baseline b using (project_id, model_id, endpoint, version)
             left join ml_guard.baseline_feature f using (project_id, model_id, endpoint, version)""",
        *zip(*keys, strict=True),
    )
    found: dict[BaselineKey, dict[FeatureKey, FrozenBins]] = {}
    for row in rows:
        bins = found.setdefault((row[0], row[1], row[2], row[3]), {})
        if row["feature"] is None:
            continue
        kind = Kind(row["kind"])
        others = row["other_labels"]
        bins[row["feature"], kind] = FrozenBins(
            kind,
            np.array(row["edges"] or (), dtype=np.float64),
            tuple(row["labels"] or ()),
            None if others is None else frozenset(others),
            np.array(row["shares"], dtype=np.float64),
            row["m"],
            np.array(row["share_errors"], dtype=np.float64),
        )
    return found
