"""Does this worker do the leader work now?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from stream.store.lease import (
    CLOSER,
    Lease,
    LeaseLostError,
    LeaseSeen,
    give_back,
    look,
    renew,
    take,
)
from stream.store.pool import Connection

# A leader that was killed is missed for this long; a day closes a grace of a minute after its end, so 5 s do no harm.
LASTS = timedelta(seconds=5)


class LeaseKeeper:
    """Holds the lease, or waits for it.

    Expiry is told by the database's clock. Should that clock jump, a lease that has not changed for its whole
    duration, by this process's monotonic clock, counts as abandoned as well.

    Parameters
    ----------
    holder : str
        A name for this worker, for people who read the table.
    """

    def __init__(
        self,
        holder: str,
        name: str = CLOSER,
        lasts: timedelta = LASTS,
        elapsed_s: Callable[[], float] = monotonic,
    ) -> None:
        self._holder, self._name, self._lasts, self._elapsed_s = holder, name, lasts, elapsed_s
        self._lease: Lease | None = None
        self._renew_at_s = 0.0
        self._seen: LeaseSeen | None = None
        self._seen_since_s = 0.0

    @property
    def lease(self) -> Lease | None:
        """The lease as far as this worker knows; what it writes is fenced all the same."""
        return self._lease

    async def keep(self, connection: Connection) -> Lease | None:
        """Renew the lease when a third of it has gone by, or try to take it; the lease, if it is held."""
        now_s = self._elapsed_s()
        if self._lease is not None:
            if now_s < self._renew_at_s:
                return self._lease
            try:
                await renew(connection, self._lease, self._lasts)
            except LeaseLostError:
                self._lease = None
            else:
                self._renew_at_s = now_s + self._lasts.total_seconds() / 3
                return self._lease
        abandoned = self._abandoned(await look(connection, self._name), now_s)
        self._lease = await take(connection, self._name, self._holder, self._lasts, abandoned)
        self._renew_at_s = now_s + self._lasts.total_seconds() / 3
        return self._lease

    def lost(self, lease: Lease) -> None:
        """A write under this lease was refused: it is another's."""
        if self._lease == lease:
            self._lease = None

    async def give_back(self, connection: Connection) -> None:
        """Let the next worker lead at once."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await give_back(connection, lease)

    def _abandoned(self, seen: LeaseSeen | None, now_s: float) -> LeaseSeen | None:
        if seen != self._seen:
            self._seen, self._seen_since_s = seen, now_s
            return None
        return seen if now_s - self._seen_since_s > self._lasts.total_seconds() else None
