"""Which models have registered themselves, and what is set for their features?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.store.pool import Connection
from stream.store.reading import Row, Where

SETTING_KEY = ("project_id", "model_id", "endpoint", "feature")
_SETTING_COLUMNS = (*SETTING_KEY, "kind", "bins", "warning", "drift", "ignored", "updated_at")
MODEL_KEY = ("project_id", "model_id", "endpoint")
BASELINE_KEY = (*MODEL_KEY, "version")
BASELINE_COLUMNS = (
    *BASELINE_KEY, "active", "days", "window_start", "window_end", "events", "captured_at", "captured_by", "note",
    "weekdays", "data_name", "data_sha256", "data_rows", "copied_from",
)  # fmt: skip


def _narrow(
    project_ids: Sequence[str] | None, model_id: str | None, endpoint: str | None, prefix: str
) -> Where:
    where = Where()
    where.add(f"{prefix}project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add(f"{prefix}model_id = ?", model_id)
    where.add(f"{prefix}endpoint = ?", endpoint)
    return where


async def models(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    model_id: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """Models by project, name and endpoint, each with its newest event and its active baselines' versions."""
    where = _narrow(project_ids, model_id, None, "m.")
    where.after([f"m.{column}" for column in MODEL_KEY], after, "asc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select m.project_id, m.model_id, m.endpoint, m.first_seen_at,
            b.versions[cardinality(b.versions)] as baseline_version, b.versions as baseline_versions,
            (select d.last_event_at from ml_guard.metric_day d
                where (d.project_id, d.model_id, d.endpoint) = (m.project_id, m.model_id, m.endpoint)
                order by d.day_start desc limit 1) as last_event_at
        from ml_guard.model m
        cross join lateral (select coalesce(array_agg(b.version order by b.version), '{{}}') as versions
            from ml_guard.baseline b
            where (b.project_id, b.model_id, b.endpoint) = (m.project_id, m.model_id, m.endpoint) and b.active) b
        where {where.sql} order by m.project_id, m.model_id, m.endpoint limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def baselines(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """Baselines by `BASELINE_KEY`, all in falling order: of each model the newest version first."""
    where = _narrow(project_ids, model_id, endpoint, "")
    where.after(BASELINE_KEY, after, "desc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select {", ".join(BASELINE_COLUMNS)} from ml_guard.baseline where {where.sql}
        order by project_id desc, model_id desc, endpoint desc, version desc limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def feature_settings(
    connection: Connection,
    *,
    project_ids: Sequence[str],
    model_id: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """What is set, by `SETTING_KEY`; with `model_id` also what holds for every model."""
    where = _narrow(project_ids, None, None, "")
    where.add("model_id = any(array['*', ?::text])", model_id)
    where.after(SETTING_KEY, after, "asc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select {", ".join(_SETTING_COLUMNS)} from ml_guard.feature_setting where {where.sql}
        order by {", ".join(SETTING_KEY)} limit {size}""",  # noqa: S608
        *where.values,
    )
    return [dict(row) for row in rows]


async def put_feature_setting(connection: Connection, setting: Row) -> Row:
    """Write a setting whole, in place of the one that was there. `setting`: `SETTING_KEY` and what is set."""
    row = await connection.fetchrow(
        f"""insert into ml_guard.feature_setting
            (project_id, model_id, endpoint, feature, kind, bins, warning, drift, ignored)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (project_id, model_id, endpoint, feature) do update set kind = excluded.kind,
            bins = excluded.bins, warning = excluded.warning, drift = excluded.drift, ignored = excluded.ignored,
            updated_at = now()
        returning {", ".join(_SETTING_COLUMNS)}""",  # noqa: S608
        *(setting[column] for column in _SETTING_COLUMNS[:-1]),
    )
    assert row is not None
    return dict(row)


async def delete_feature_setting(connection: Connection, key: Sequence[str]) -> bool:
    """Remove a setting; False if there was none. `key`: the values of `SETTING_KEY`."""
    gone = await connection.fetchval(
        """delete from ml_guard.feature_setting
        where (project_id, model_id, endpoint, feature) = ($1, $2, $3, $4) returning true""",
        *key,
    )
    return gone is True
