"""Which messages are to be sent, and what became of those that were?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from stream.alerting.wording import Message
from stream.store.pool import Connection
from stream.store.reading import Row

DELIVERY_COLUMNS = (
    "message_id", "channel", "project_id", "model_id", "endpoint", "alert_ids", "subject", "status", "attempts",
    "created_at", "next_attempt_at", "last_attempt_at", "last_error", "sent_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to one channel."""

    message_id: str
    channel: str
    message: Message
    created_at: datetime
    attempts: int = 0


async def write_messages(connection: Connection, outgoing: Sequence[Outgoing], now: datetime) -> None:
    """Put messages into the outbox; belongs in the transaction that changes the alerts that they are about."""
    for one in outgoing:
        first = one.message.alerts[0]
        await connection.execute(
            """insert into ml_guard.alert_delivery (message_id, channel, project_id, model_id, endpoint, alert_ids,
                   subject, message, created_at, next_attempt_at)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)""",
            one.message_id,
            one.channel,
            first["project_id"],
            first["model_id"],
            first["endpoint"],
            [alert["alert_id"] for alert in one.message.alerts],
            one.message.subject,
            msgspec.json.encode({"text": one.message.text, "alerts": one.message.alerts}).decode(),
            now,
        )


async def claim(connection: Connection, now: datetime, back_at: datetime, limit: int) -> list[Outgoing]:
    """Take messages that are due: nobody else takes them before `back_at`.

    Of one model and channel a message waits until the one before it is sent: no end is told before its beginning.
    """
    rows = await connection.fetch(
        """update ml_guard.alert_delivery d
              set attempts = d.attempts + 1, last_attempt_at = $1, next_attempt_at = $2
            where d.number in (
                select o.number from ml_guard.alert_delivery o
                 where o.status = 'pending' and o.next_attempt_at <= $1
                   and not exists (
                       select from ml_guard.alert_delivery e
                        where e.status = 'pending' and e.channel = o.channel and e.number < o.number
                          and (e.project_id, e.model_id, e.endpoint) = (o.project_id, o.model_id, o.endpoint))
                 order by o.number limit $3)
           returning d.number, d.message_id, d.channel, d.subject, d.message, d.created_at, d.attempts""",
        now,
        back_at,
        limit,
    )
    found = []
    for row in sorted(rows, key=lambda row: row["number"]):
        stored = msgspec.json.decode(row["message"])
        message = Message(row["subject"], stored["text"], tuple(stored["alerts"]))
        found.append(Outgoing(row["message_id"], row["channel"], message, row["created_at"], row["attempts"]))
    return found


async def note_sent(connection: Connection, one: Outgoing, now: datetime) -> None:
    """The receiver has taken it."""
    await connection.execute(
        """update ml_guard.alert_delivery set status = 'sent', sent_at = $2, last_error = null
            where message_id = $1 and status <> 'sent'""",
        one.message_id,
        now,
    )


async def note_not_sent(connection: Connection, one: Outgoing, error: str, again_at: datetime | None) -> None:
    """The attempt failed; it is tried again then, or (None) given up."""
    await connection.execute(
        """update ml_guard.alert_delivery
              set status = case when $3::timestamptz is null then 'failed' else 'pending' end,
                  last_error = $2, next_attempt_at = coalesce($3, next_attempt_at)
            where message_id = $1 and status = 'pending' and attempts = $4""",
        one.message_id,
        error,
        again_at,
        one.attempts,
    )


async def deliveries(connection: Connection, alert_id: str) -> list[Row]:
    """The delivery log of an alert, the newest first."""
    rows: list[Any] = await connection.fetch(
        f"""select {", ".join(DELIVERY_COLUMNS)} from ml_guard.alert_delivery
            where alert_ids @> array[$1::text] order by number desc limit 1000""",  # noqa: S608
        alert_id,
    )
    return [dict(row) for row in rows]
