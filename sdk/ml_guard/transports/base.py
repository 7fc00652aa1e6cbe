"""What does every transport take, and what does it answer?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from ml_guard.checking import Step
from ml_guard.stats import Count, Tally


class Batch(msgspec.Struct, frozen=True):
    """Encoded events of one project under one id. A retry sends the same batch, so that it counts once."""

    batch_id: str
    project_id: str
    events: tuple[bytes, ...]
    tally: Tally | None = None
    """Where a call that waits for these events reads what became of them."""


class Rejection(msgspec.Struct, frozen=True):
    """One event of a batch that the server did not take."""

    index: int
    reason: str
    detail: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """A batch is durable, except for the events rejected."""

    rejected: Sequence[Rejection] = ()


class Transport(ABC):
    """Sends batches, one at a time, from the outbox's thread."""

    reports = False
    """Whether `report` reaches a server."""

    def open(self) -> None:  # noqa: B027 - most transports have nothing to do
        """Called in the host's thread before the first batch of a process."""

    @abstractmethod
    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        """Return once the batch is durable; raise a `TransportError` if that is not known within `timeout_s`."""

    def report(self, client_id: str, counts: Sequence[Count], timeout_s: float) -> frozenset[str]:
        """Tell the server what became of events; the projects of which it took no counts. Raises `TransportError`."""
        return frozenset(count.project_id for count in counts)

    def check(self, project_id: str | None, timeout_s: float) -> list[Step]:
        """Would events arrive? Looked at from any thread, without sending one."""
        return []

    def close(self) -> None:  # noqa: B027
        """Called in the outbox's thread after the last batch."""

    def forget(self) -> None:  # noqa: B027
        """Called in a forked child: whatever was open belongs to the parent."""
