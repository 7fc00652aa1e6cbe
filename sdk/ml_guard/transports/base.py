"""What does every transport take, and what does it answer?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """Encoded events of one project under one id. A retry sends the same batch, so that it counts once."""

    batch_id: str
    project_id: str
    events: tuple[bytes, ...]


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

    def open(self) -> None:  # noqa: B027 - most transports have nothing to do
        """Called in the host's thread before the first batch of a process."""

    @abstractmethod
    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        """Return once the batch is durable; raise a `TransportError` if that is not known within `timeout_s`."""

    def close(self) -> None:  # noqa: B027
        """Called in the outbox's thread after the last batch."""

    def forget(self) -> None:  # noqa: B027
        """Called in a forked child: whatever was open belongs to the parent."""
