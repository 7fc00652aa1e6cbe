"""Of which topic is this database?

Barriers, the lease of who closes days, and the shards of state, which bear the numbers of partitions, are those of one
topic. Two sets of workers with different topics would close each other's days too early, so the first fence decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.store.pool import Connection

FORGET = "ml-guard accept-loss --topic"


@dataclass(frozen=True, slots=True)
class OtherTopic:
    """A topic whose fences are here, and how long ago a worker of it was heard of."""

    topic: str
    partitions: int
    records: int
    silent_s: float | None


class OtherTopicError(Exception):
    """The database is another topic's. Nothing is read or closed."""

    retriable = False


async def other_topics(connection: Connection, topic: str) -> list[OtherTopic]:
    """The topics whose fences are here, but this one."""
    rows = await connection.fetch(
        """select topic, count(*) as partitions, sum(next_offset - first_offset)::bigint as records,
                  extract(epoch from now() - max(heartbeat_at))::float8 as silent_s
             from ml_guard.stream_fence where topic <> $1 group by topic order by topic""",
        topic,
    )
    return [OtherTopic(*row.values()) for row in rows]


def refusal(topic: str, others: Sequence[OtherTopic]) -> str | None:
    """Why nothing may be read from the topic into this database, as a sentence for the operator; None if it may.

    >>> refusal("b", [OtherTopic("a", 4, 1200, None)])
    'the database holds what was read from the topic a (4 partitions, 1,200 records), and ML_GUARD_TOPIC is b: a \
database serves one topic. Set ML_GUARD_TOPIC=a, or give b a database of its own; if a was renamed to b, \
`ml-guard accept-loss --topic a` forgets where its reading stood'
    """
    if not others:
        return None
    held = ", ".join(f"{one.topic} ({one.partitions} partitions, {one.records:,} records)" for one in others)
    first = others[0].topic
    return (
        f"the database holds what was read from the topic {held}, and ML_GUARD_TOPIC is {topic}: a database serves one "
        f"topic. Set ML_GUARD_TOPIC={first}, or give {topic} a database of its own; if {first} was renamed to {topic}, "
        f"`{FORGET} {first}` forgets where its reading stood"
    )


async def require_topic(connection: Connection, topic: str) -> None:
    """Raise `OtherTopicError` if the database is another topic's."""
    why = refusal(topic, await other_topics(connection, topic))
    if why is not None:
        raise OtherTopicError(why)


async def take_turns(connection: Connection) -> None:
    """Until the transaction's end nobody else makes this database a topic's: two first workers may have two topics."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('ml_guard.stream_fence', 0))")
