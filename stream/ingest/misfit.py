"""Does a fence fit its log, and if not, what happened?

Nothing is skipped silently: a partition whose fence does not fit stands still, and its `stopped_reason` says what
happened and which command accepts it. The other partitions go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.ingest.log import Log
from stream.store import closing, fence
from stream.store.fence import Fence
from stream.store.pool import Pool

ACCEPT = "ml-guard accept-loss"


def misfit(topic: str, known: Fence, log: Log | None) -> str | None:
    """Why the fence does not fit, as a sentence for the operator; None if it fits."""
    where = f"partition {known.partition} of {topic}"
    if log is None:
        return (
            f"{where} is gone: the topic has fewer partitions than before. "
            f"`{ACCEPT}` gives up what it still held, from offset {known.next_offset} on."
        )
    if known.log_identity is not None and log.identity is not None and known.log_identity != log.identity:
        return (
            f"{topic} was deleted and created again (topic id {known.log_identity} before, {log.identity} now): what "
            f"{where} held from offset {known.next_offset} on is lost. `{ACCEPT}` reads the new log from its start."
        )
    if known.next_offset < log.first:
        return (
            f"Kafka's retention has removed records of {where} that were not read: offsets {known.next_offset} to "
            f"{log.first - 1}. `{ACCEPT}` goes on at offset {log.first}."
        )
    if known.next_offset > log.end:
        return (
            f"{where} ends at offset {log.end}, before {known.next_offset} where reading stands: the log was cut. "
            f"`{ACCEPT}` goes on at offset {log.end}."
        )
    return None


@dataclass(frozen=True, slots=True)
class AcceptedLoss:
    """What accepting came to.

    Attributes
    ----------
    lost : int
        Records known to be lost; a log that is gone does not tell how many it held.
    next_offset : int or None
        Where reading goes on; None if the partition is gone.
    """

    topic: str
    partition: int
    reason: str
    lost: int
    next_offset: int | None
    barriers_rewritten: int


async def accept_loss(pool: Pool, topic: str, partition: int, log: Log | None) -> AcceptedLoss | None:
    """Accept what a stopped partition has lost: note it, move the fence, rewrite the barriers that can never be met.

    Parameters
    ----------
    log : Log or None
        What the partition's log is now, from `stream.ingest.log.read_logs`; None if the topic has no such partition.

    Returns
    -------
    AcceptedLoss or None
        None if the fence fits its log, so that there is nothing to accept.
    """
    async with pool.acquire() as connection, connection.transaction():
        known = (await fence.read(connection, topic)).get(partition)
        if known is None:
            return None
        reason = misfit(topic, known, log)
        if reason is None:
            return None
        if log is None:
            await fence.forget(connection, topic, partition)
            rewritten = await closing.rewrite_barriers(connection, partition, None)
            return AcceptedLoss(topic, partition, reason, 0, None, rewritten)
        same_log = known.log_identity is None or log.identity is None or known.log_identity == log.identity
        goes_on = log.first if not same_log or known.next_offset < log.first else log.end
        lost = max(0, goes_on - known.next_offset) if same_log else 0
        await fence.move(connection, topic, partition, next_offset=goes_on, lost=lost, identity=log.identity)
        rewritten = await closing.rewrite_barriers(connection, partition, goes_on)
        return AcceptedLoss(topic, partition, reason, lost, goes_on, rewritten)
