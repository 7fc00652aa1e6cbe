"""What would have been sent? A transport for tests: it keeps every batch and fails on demand."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ml_guard.errors import TransportError
from ml_guard.event import Event
from ml_guard.transports.base import Batch, Receipt, Transport


class RecordingTransport(Transport):
    """Keeps what it is given. `answers` are used up first: an error is raised, a receipt returned.

    >>> transport = RecordingTransport()
    >>> transport.send(Batch("b", "p", (b'{"project_id":"p","model_id":"m"}',)), 1.0)
    Receipt(rejected=())
    >>> transport.events[0].model_id
    'm'
    """

    def __init__(self, answers: Iterable[TransportError | Receipt] = ()) -> None:
        self.attempts: list[Batch] = []
        self.batches: list[Batch] = []
        self.closed = False
        self._answers = list(answers)

    @property
    def events(self) -> list[Event]:
        """All events of the batches that were received, in order."""
        return [msgspec.json.decode(raw, type=Event) for batch in self.batches for raw in batch.events]

    def answer_next(self, answer: TransportError | Receipt) -> None:
        """Answer the next batch that is not spoken for with this."""
        self._answers.append(answer)

    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        self.attempts.append(batch)
        answer = self._answers.pop(0) if self._answers else Receipt()
        if isinstance(answer, TransportError):
            raise answer
        self.batches.append(batch)
        return answer

    def close(self) -> None:
        self.closed = True
