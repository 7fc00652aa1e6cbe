"""Does a fence fit its log, and if not, what happened?

Nothing is skipped silently: a partition whose fence does not fit stands still, and its `stopped_reason` says what
happened and which command accepts it. The other partitions go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream.ingest.log import Log
from stream.store import closing, fence
from stream.store.fence import Fence
from stream.store.one_topic import other_topics, take_turns
from stream.store.pool import Pool

ACCEPT = "ml-guard accept-loss"
ALIVE_S = 15.0
"""A topic of which a worker was heard within this is still read."""


class StillReadError(Exception):
    """Workers read the topic that is to be forgotten."""

    retriable = True


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


def forgotten(topic: str, other: str, known: Fence, log: Log | None) -> str:
    """What it means that a database which was one topic's becomes another's, for one partition."""
    where = f"partition {known.partition} of {other} was read up to offset {known.next_offset}"
    if log is None:
        left = "and is gone"
    elif known.next_offset < log.end:
        left = f"and has {log.end - max(known.next_offset, log.first):,} records that were not"
    else:
        left = "which is all of it"
    return f"{where}, {left}; {topic} is read instead, from its start. What was counted stays."


async def accept_topic(
    pool: Pool, topic: str, other: str, logs: Mapping[int, Log], own: Mapping[int, Log]
) -> list[AcceptedLoss]:
    """Make a database which is another topic's this one's: its fences leave, and no pending day waits for them.

    Parameters
    ----------
    logs : mapping from partition to Log
        The other topic's, as far as it is still there.
    own : mapping from partition to Log
        This topic's, which get fences at their beginning, so that workers of the other find the database taken.

    Raises
    ------
    StillReadError
        If a worker of the other topic was heard of a moment ago.
    """
    async with pool.acquire() as connection, connection.transaction():
        await take_turns(connection)
        found = next((one for one in await other_topics(connection, topic) if one.topic == other), None)
        if found is None:
            return []
        if found.silent_s is not None and found.silent_s < ALIVE_S:
            raise StillReadError(
                f"a worker of {other} was heard of {max(0.0, found.silent_s):.0f} s ago: stop the workers of {other}, and "
                f"try again when they have been silent for {ALIVE_S:.0f} s"
            )
        accepted = []
        for number, known in sorted((await fence.read(connection, other)).items()):
            log = logs.get(number)
            reason = forgotten(topic, other, known, log)
            lost = 0 if log is None else max(0, log.end - max(known.next_offset, log.first))
            await fence.forget(connection, other, number)
            rewritten = await closing.rewrite_barriers(connection, number, None)
            accepted.append(AcceptedLoss(other, number, reason, lost, None, rewritten))
        identity = next((log.identity for log in own.values()), None)
        firsts = {number: log.first for number, log in own.items()}
        await fence.reserve(connection, topic, firsts, identity=identity)
        return accepted
