"""Which policies are set, which episodes are there, and what do people write on them?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec

from stream.alerting.episodes import Change, Episode, details_of
from stream.alerting.policies import Policy, Subject
from stream.store.lease import CLOSER, wait_for_writers
from stream.store.pool import Connection
from stream.store.reading import Row, Where

POLICY_KEY = ("name", "project_id", "model_id", "endpoint", "feature")
_POLICY_COLUMNS = (
    *POLICY_KEY, "condition", "threshold", "days", "minutes", "percentile", "local_time", "rise_percent", "open_day",
    "severity", "cooldown_minutes", "channels", "enabled",
)  # fmt: skip
ALERT_KEY = ("opened_at", "alert_id")
_ALERT_COLUMNS = (
    "alert_id", "opened_at", "project_id", "model_id", "endpoint", "policy", "condition", "severity", "channels",
    "state", "headline", "since", "zone", "day", "day_start", "revision", "provisional", "details", "found_at",
    "notified_at", "resolved_at", "resolution", "acknowledged_at", "acknowledged_by", "muted_until", "muted_by",
)  # fmt: skip
# What the evaluation writes; what people write on an alert is theirs.
_WRITTEN = (
    "condition", "severity", "channels", "state", "headline", "since", "day", "day_start", "revision", "provisional",
    "details", "found_at", "notified_at", "resolved_at", "resolution",
)  # fmt: skip
SHOWN_COLUMNS = (*_ALERT_COLUMNS, "news", "change_id")
_NUMBERED = "change_id = nextval('ml_guard.result_change')"


def policy_of(row: Any) -> Policy:
    """A policy from its row; what is not set is the condition's default, filled in when it was stored."""
    values = {name: row[name] for name in _POLICY_COLUMNS}
    channels = values.pop("channels")
    for name in ("days", "minutes", "percentile"):
        if values[name] is None:
            del values[name]
    return Policy(channels=None if channels is None else tuple(channels), **values)


async def policies(connection: Connection, project_ids: Collection[str] | None = None) -> list[Policy]:
    """The policies that are set: all, or those of some projects and of every project."""
    return [policy_of(row) for row in await policy_rows(connection, project_ids)]


async def policy_rows(connection: Connection, project_ids: Collection[str] | None = None) -> list[Row]:
    """The same with who set them when."""
    rows = await connection.fetch(
        f"""select {", ".join(_POLICY_COLUMNS)}, updated_at, updated_by from ml_guard.alert_policy
            where $1::text[] is null or project_id = '*' or project_id = any($1::text[])
            order by {", ".join(POLICY_KEY)}""",  # noqa: S608
        None if project_ids is None else list(project_ids),
    )
    return [dict(row) for row in rows]


async def put_policy(connection: Connection, policy: Policy, by: str) -> Row:
    """Set a policy, in place of what was set under its name and scope."""
    values = {**asdict(policy), "channels": None if policy.channels is None else list(policy.channels)}
    columns = [*_POLICY_COLUMNS, "updated_by"]
    row = await connection.fetchrow(
        f"""insert into ml_guard.alert_policy ({", ".join(columns)})
            values ({", ".join(f"${n}" for n in range(1, len(columns) + 1))})
            on conflict ({", ".join(POLICY_KEY)}) do update set
                {", ".join(f"{name} = excluded.{name}" for name in columns[len(POLICY_KEY) :])}, updated_at = now()
            returning {", ".join(_POLICY_COLUMNS)}, updated_at, updated_by""",  # noqa: S608
        *(values[name] for name in _POLICY_COLUMNS),
        by,
    )
    assert row is not None
    return dict(row)


async def delete_policy(connection: Connection, key: Sequence[str]) -> bool:
    """Forget a policy; False if none was set there."""
    gone = await connection.fetchval(
        """delete from ml_guard.alert_policy where (name, project_id, model_id, endpoint, feature) = ($1, $2, $3, $4, $5)
           returning true""",
        *key,
    )
    return bool(gone)


def episode_of(row: Any) -> Episode:
    """An episode from its row."""
    values = {name: row[name] for name in _ALERT_COLUMNS}
    for name in ("project_id", "model_id", "endpoint", "state", "acknowledged_by", "muted_by"):
        del values[name]
    values["details"] = details_of(row["details"])
    values["channels"] = None if row["channels"] is None else tuple(row["channels"])
    return Episode(subject=Subject(row["project_id"], row["model_id"], row["endpoint"]), **values)


async def open_episodes(connection: Connection) -> list[Episode]:
    """All that are open, the oldest first."""
    rows = await connection.fetch(
        f"""select {", ".join(_ALERT_COLUMNS)} from ml_guard.alert
            where state = 'open' order by opened_at, alert_id"""  # noqa: S608
    )
    return [episode_of(row) for row in rows]


async def mutes(connection: Connection, now: datetime) -> dict[tuple[Subject, str], datetime]:
    """Until when subjects and policies are muted that have had an alert."""
    rows = await connection.fetch(
        """select project_id, model_id, endpoint, policy, max(muted_until) as muted_until from ml_guard.alert
            where muted_until > $1 group by project_id, model_id, endpoint, policy""",
        now,
    )
    return {(Subject(row[0], row[1], row[2]), row[3]): row[4] for row in rows}


async def write_changes(connection: Connection, changes: Sequence[Change], new: Collection[str]) -> None:
    """Write what became of episodes; belongs in the transaction that writes the messages about it.

    Parameters
    ----------
    new : collection of str
        The alert ids that have no row yet.
    """
    for change in changes:
        episode = change.episode
        values = _row(episode)
        if episode.alert_id in new:
            columns = [name for name in _ALERT_COLUMNS if name not in ("acknowledged_by", "muted_by")]
            await connection.execute(
                f"""insert into ml_guard.alert ({", ".join(columns)}, news)
                    values ({", ".join(f"${n}" for n in range(1, len(columns) + 2))})""",  # noqa: S608
                *(values[name] for name in columns),
                change.news,
            )
        else:
            settings = ", ".join(f"{name} = ${n}" for n, name in enumerate(_WRITTEN, start=4))
            await connection.execute(
                f"""update ml_guard.alert set {_NUMBERED}, news = $3, {settings}
                    where alert_id = $1 and opened_at = $2""",  # noqa: S608
                episode.alert_id,
                episode.opened_at,
                change.news,
                *(values[name] for name in _WRITTEN),
            )


def _row(episode: Episode) -> dict[str, Any]:
    values = {name: getattr(episode, name) for name in Episode.__slots__}
    project_id, model_id, endpoint = episode.subject
    return values | {
        "project_id": project_id,
        "model_id": model_id,
        "endpoint": endpoint,
        "state": episode.state,
        "details": episode.details.to_json(),
        "channels": None if episode.channels is None else list(episode.channels),
    }


async def alerts(
    connection: Connection,
    *,
    project_ids: Sequence[str] | None = None,
    model_id: str | None = None,
    policy: str | None = None,
    state: str | None = None,
    alert_id: str | None = None,
    after: Sequence[Any] | None = None,
    limit: int,
) -> list[Row]:
    """Alerts, the newest first. `state`: open, acknowledged (open too), resolved."""
    where = Where()
    where.add("project_id = any(?::text[])", None if project_ids is None else list(project_ids))
    where.add("model_id = ?", model_id)
    where.add("policy = ?", policy)
    where.add("alert_id = ?", alert_id)
    where.add("state = ?", None if state is None else "resolved" if state == "resolved" else "open")
    where.add("(acknowledged_at is not null) = ?", True if state == "acknowledged" else None)
    where.after(ALERT_KEY, after, "desc")
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select {", ".join(SHOWN_COLUMNS)} from ml_guard.alert where {where.sql}
            order by opened_at desc, alert_id desc limit {size}""",  # noqa: S608
        *where.values,
    )
    return [shown(row) for row in rows]


def shown(row: Any) -> Row:
    """A row of `SHOWN_COLUMNS`, its details as they are in JSON."""
    return dict(row) | {"details": msgspec.to_builtins(details_of(row["details"]))}


async def acknowledge(connection: Connection, row: Row, by: str, now: datetime) -> None:
    """A person takes it on; the first one stands."""
    async with connection.transaction():
        await wait_for_writers(connection, CLOSER)
        await connection.execute(
            f"""update ml_guard.alert set acknowledged_at = $3, acknowledged_by = $4, news = 'acknowledged', {_NUMBERED}
                where alert_id = $1 and opened_at = $2 and acknowledged_at is null""",  # noqa: S608
            row["alert_id"],
            row["opened_at"],
            now,
            by,
        )


async def mute(connection: Connection, row: Row, until: datetime | None, by: str) -> None:
    """Write nothing about it until then; None: write again."""
    async with connection.transaction():
        await wait_for_writers(connection, CLOSER)
        await connection.execute(
            f"""update ml_guard.alert set muted_until = $3, muted_by = $4, news = $5, {_NUMBERED}
                where alert_id = $1 and opened_at = $2""",  # noqa: S608
            row["alert_id"],
            row["opened_at"],
            until,
            by,
            "unmuted" if until is None else "muted",
        )
