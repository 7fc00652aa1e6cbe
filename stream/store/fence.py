"""Who may write a partition's state, and up to which offset is it written?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from stream.store.pool import Connection


class FenceLostError(Exception):
    """Another worker has claimed the partition, or the offset is not where it was left. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A partition's row."""

    partition: int
    epoch: int
    next_offset: int
    log_identity: str | None
    stopped_reason: str | None


@dataclass(slots=True)
class RecordCounts:
    """What became of the records between two offsets; their sum is the distance."""

    decoded: int = 0
    dead: int = 0
    duplicate: int = 0
    empty: int = 0


_COLUMNS = '"partition", epoch, next_offset, log_identity, stopped_reason'


async def claim(
    connection: Connection,
    topic: str,
    first_offsets: Mapping[int, int],
    *,
    identity: str | None,
    owner: str,
    now: datetime,
) -> dict[int, Fence]:
    """Take the partitions over: whoever held them can write no more. One never seen starts at its log's first offset."""
    rows = await connection.fetch(
        f"""insert into ml_guard.stream_fence as f
                (topic, "partition", epoch, first_offset, next_offset, log_identity, owner, heartbeat_at)
            select $1, n."partition", 1, n.first_offset, n.first_offset, $4, $5, $6
              from unnest($2::integer[], $3::bigint[]) as n("partition", first_offset)
             order by n."partition"
            on conflict (topic, "partition") do update set
                epoch = f.epoch + 1, owner = excluded.owner, heartbeat_at = excluded.heartbeat_at,
                log_identity = coalesce(f.log_identity, excluded.log_identity)
            returning {_COLUMNS}""",  # noqa: S608
        topic,
        list(first_offsets),
        list(first_offsets.values()),
        identity,
        owner,
        now,
    )
    return {row["partition"]: Fence(*row.values()) for row in rows}


async def reserve(
    connection: Connection, topic: str, first_offsets: Mapping[int, int], *, identity: str | None
) -> None:
    """Fences for the partitions that have none: nobody reads them yet, and whoever does begins at these offsets."""
    await connection.execute(
        """insert into ml_guard.stream_fence (topic, "partition", first_offset, next_offset, log_identity)
           select $1, n."partition", n.first_offset, n.first_offset, $4
             from unnest($2::integer[], $3::bigint[]) as n("partition", first_offset)
           on conflict do nothing""",
        topic,
        list(first_offsets),
        list(first_offsets.values()),
        identity,
    )


async def read(connection: Connection, topic: str) -> dict[int, Fence]:
    """All fences of a topic."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from ml_guard.stream_fence where topic = $1",  # noqa: S608
        topic,
    )
    return {row["partition"]: Fence(*row.values()) for row in rows}


async def stop(connection: Connection, topic: str, reasons: Mapping[int, str | None]) -> None:
    """Note why partitions stand still; None lets them go on."""
    await connection.execute(
        """update ml_guard.stream_fence f set stopped_reason = n.reason
             from unnest($2::integer[], $3::text[]) as n("partition", reason)
            where f.topic = $1 and f."partition" = n."partition"
              and f.stopped_reason is distinct from n.reason""",
        topic,
        list(reasons),
        list(reasons.values()),
    )


async def stop_own(connection: Connection, topic: str, partition: int, epoch: int, reason: str) -> bool:
    """Note why a partition stands still, unless somebody else has claimed it meanwhile."""
    done = await connection.execute(
        """update ml_guard.stream_fence set stopped_reason = $4
            where topic = $1 and "partition" = $2 and epoch = $3""",
        topic,
        partition,
        epoch,
        reason,
    )
    return done == "UPDATE 1"


async def advance(
    connection: Connection,
    topic: str,
    partition: int,
    epoch: int,
    lo: int,
    hi: int,
    counts: RecordCounts,
    *,
    generation: int,
    now: datetime,
) -> None:
    """Move the fence from `lo` to `hi`, first in a checkpoint's transaction. Raises `FenceLostError`."""
    done = await connection.execute(
        """update ml_guard.stream_fence set
               next_offset = $5, heartbeat_at = $6, catalog_generation = $7,
               records_decoded = records_decoded + $8, records_dead = records_dead + $9,
               records_duplicate = records_duplicate + $10, records_empty = records_empty + $11
           where topic = $1 and "partition" = $2 and epoch = $3 and next_offset = $4""",
        topic,
        partition,
        epoch,
        lo,
        hi,
        now,
        generation,
        counts.decoded,
        counts.dead,
        counts.duplicate,
        counts.empty,
    )
    if done != "UPDATE 1":
        raise FenceLostError(f"partition {partition} is no longer at epoch {epoch} and offset {lo}")


async def beat(
    connection: Connection, topic: str, epochs: Mapping[int, int], *, generation: int, now: datetime
) -> set[int]:
    """Say that this worker is alive; the partitions that are still its own."""
    rows = await connection.fetch(
        """update ml_guard.stream_fence f set heartbeat_at = $4, catalog_generation = $5
             from unnest($2::integer[], $3::bigint[]) as n("partition", epoch)
            where f.topic = $1 and f."partition" = n."partition" and f.epoch = n.epoch
        returning f."partition" """,
        topic,
        list(epochs),
        list(epochs.values()),
        now,
        generation,
    )
    return {row["partition"] for row in rows}


async def resumed(connection: Connection, topic: str, partitions: Iterable[int]) -> set[int]:
    """Of these stopped partitions, those whose loss was accepted meanwhile."""
    rows = await connection.fetch(
        """select "partition" from ml_guard.stream_fence
            where topic = $1 and "partition" = any($2::integer[]) and stopped_reason is null""",
        topic,
        list(partitions),
    )
    return {row["partition"] for row in rows}


async def move(
    connection: Connection,
    topic: str,
    partition: int,
    *,
    next_offset: int,
    lost: int,
    identity: str | None,
) -> Fence | None:
    """Put the fence elsewhere after a loss was accepted, fencing off its owner; the row as it was before.

    `next_offset - first_offset` stays the number of records passed, the lost ones included.
    """
    row = await connection.fetchrow(
        f"""select {_COLUMNS} from ml_guard.stream_fence
            where topic = $1 and "partition" = $2 for update""",  # noqa: S608
        topic,
        partition,
    )
    if row is None:
        return None
    before = Fence(*row.values())
    await connection.execute(
        """update ml_guard.stream_fence set
               epoch = epoch + 1, stopped_reason = null, log_identity = coalesce($5, log_identity),
               first_offset = $3 - (next_offset - first_offset) - $4, next_offset = $3,
               records_lost = records_lost + $4
           where topic = $1 and "partition" = $2""",
        topic,
        partition,
        next_offset,
        lost,
        identity,
    )
    return before


async def forget(connection: Connection, topic: str, partition: int) -> None:
    """Remove the fence of a partition that its topic no longer has."""
    await connection.execute(
        """delete from ml_guard.stream_fence where topic = $1 and "partition" = $2""", topic, partition
    )
