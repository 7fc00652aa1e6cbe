"""Who may do leader work, and how does the database stop one who no longer may?

A lease has an epoch, raised each time that it changes hands. Every transaction of leader work begins with `fence`,
which locks the lease's row and looks whether the epoch is still the holder's: a leader that was frozen and wakes up
late cannot write. The time at which a lease expires only decides when another may take it, never who may write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from stream.store.pool import Connection

CLOSER = "closer"


class LeaseLostError(Exception):
    """Another holder has the lease: what was about to be written is dropped, and the lease is tried for again."""

    retriable = True

    def __init__(self, lease: Lease) -> None:
        super().__init__(
            f"{lease.holder} no longer holds the lease {lease.name!r} (epoch {lease.epoch}): "
            "another worker does its work now, nothing needs to be done"
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on leader work: its `epoch` stands for the holder in every write."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A lease as it stood in the database; a holder that lives changes it all the time."""

    epoch: int
    expires_at: datetime


async def look(connection: Connection, name: str) -> LeaseSeen | None:
    """The lease's row; nothing if there is no such lease."""
    row = await connection.fetchrow(
        "select epoch, expires_at from ml_guard.lease where name = $1",
        name,
    )
    return None if row is None else LeaseSeen(row["epoch"], row["expires_at"])


async def take(
    connection: Connection, name: str, holder: str, lasts: timedelta, abandoned: LeaseSeen | None = None
) -> Lease | None:
    """Take a lease that has expired, or that still stands as `abandoned` had it; nothing if somebody holds it.

    The database's clock says what has expired, so clocks of workers need not agree.
    """
    epoch = await connection.fetchval(
        """update ml_guard.lease
              set holder = $2, epoch = epoch + 1, expires_at = clock_timestamp() + $3
            where name = $1
              and (expires_at <= clock_timestamp() or (epoch = $4 and expires_at = $5))
           returning epoch""",
        name,
        holder,
        lasts,
        None if abandoned is None else abandoned.epoch,
        None if abandoned is None else abandoned.expires_at,
    )
    return None if epoch is None else Lease(name, holder, epoch)


async def renew(connection: Connection, lease: Lease, lasts: timedelta) -> None:
    """Hold the lease longer.

    Raises
    ------
    LeaseLostError
        If another has taken it.
    """
    renewed = await connection.fetchval(
        """update ml_guard.lease set expires_at = clock_timestamp() + $3
            where name = $1 and epoch = $2 returning epoch""",
        lease.name,
        lease.epoch,
        lasts,
    )
    if renewed is None:
        raise LeaseLostError(lease)


async def give_back(connection: Connection, lease: Lease) -> None:
    """Let the next one have it at once; does nothing if another already has it."""
    await connection.execute(
        """update ml_guard.lease set holder = null, expires_at = '-infinity'
            where name = $1 and epoch = $2""",
        lease.name,
        lease.epoch,
    )


async def fence(connection: Connection, lease: Lease) -> None:
    """The first statement of every write of leader work: others wait until it is committed or rolled back.

    Raises
    ------
    LeaseLostError
        If another has taken the lease.
    """
    held = await connection.fetchval(
        "select epoch from ml_guard.lease where name = $1 and epoch = $2 for update",
        lease.name,
        lease.epoch,
    )
    if held is None:
        raise LeaseLostError(lease)


async def wait_for_writers(connection: Connection, name: str) -> None:
    """Write in turn with the leader, whoever that is, so that numbers of changes become visible in their order.

    The first statement of a transaction, as `fence` is.
    """
    await connection.execute("select from ml_guard.lease where name = $1 for update", name)
