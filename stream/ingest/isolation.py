"""Which event makes our own code fail, again and again and alone?

A failure of the code, not of the database or the broker, costs a partition its memory, and the same records are read
again. Should they fail a third time, the batch is halved until the events are found that fail alone, on the state that
the database holds and without keeping anything. From then on they are dead letters with the reason `internal_error`,
to be replayed once the code is mended, and the partition goes on.

What fails only where the counts are made into rows, at the checkpoint, is looked for in the same way: up to there each
fold of the partition is careful, and tries that at once. What cannot be found so stops the partition, in a sentence.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stream.ingest.decode import WHOLE, Aside
from stream.ingest.records import PartitionBatch
from stream.ingest.work import Partition

log = logging.getLogger(__name__)

TRIES = 3
"""So often a batch may fail before it is halved: what failed by chance has passed by then."""

Fails = Callable[[PartitionBatch, Aside], Awaitable[Exception | None]]
"""What folding a batch raises, without the events that are set aside; nothing of it is kept."""


@dataclass
class Isolation:
    """What this worker has found in one partition."""

    written: int = -1
    tries: int = 0
    searching: bool = False
    careful_until: int = -1
    in_vain_at: int = -1
    aside: dict[tuple[int, int], str] = field(default_factory=dict)

    def still_aside(self, partition: Partition) -> Aside:
        """The events to set aside; those behind the fence are dead letters already."""
        if self.aside:
            self.aside = {place: why for place, why in self.aside.items() if place[0] >= partition.written}
        return self.aside

    def careful(self, partition: Partition) -> bool:
        """Whether each fold tries to make rows of the counts, since that has failed before here."""
        return partition.written < self.careful_until

    def be_careful(self, partition: Partition) -> bool:
        """From now on, up to where it is folded; False if that was so already, and did not help."""
        if self.careful(partition):
            return False
        self.careful_until = partition.folded
        return True

    def searched_in_vain(self, partition: Partition) -> bool:
        """Whether what fails here was looked for, and no event found."""
        return self.in_vain_at == partition.written

    async def failed(
        self,
        partition: Partition,
        batch: PartitionBatch,
        count_of: Callable[[PartitionBatch], int],
        fails: Fails,
    ) -> None:
        """Count a failure; at the third in one place look for its cause.

        Parameters
        ----------
        count_of : callable
            How many events the one record of a batch holds; raises if that is what fails.
        """
        if self.searching:
            return
        self.tries = self.tries + 1 if self.written == partition.written else 1
        self.written = partition.written
        if self.tries < TRIES:
            return
        place = partition.written
        found: dict[tuple[int, int], Exception] = {}
        self.searching = True
        try:
            await self._search_records(batch, count_of, fails, found)
        finally:
            self.searching = False
        if found:
            self.tries = 0
            self.aside |= {place: where(error) for place, error in found.items()}
            _tell(partition.number, found)
        else:
            self.in_vain_at = place

    async def _search_records(
        self,
        batch: PartitionBatch,
        count_of: Callable[[PartitionBatch], int],
        fails: Fails,
        found: dict[tuple[int, int], Exception],
    ) -> None:
        error = await fails(batch, self.aside)
        if error is None:
            return
        if len(batch) > 1:
            before, middle = len(found), len(batch) // 2
            for begin, end in ((0, middle), (middle, len(batch))):
                await self._search_records(batch.part(begin, end), count_of, fails, found)
            if len(found) == before:  # they fail together only
                found.update({(offset, WHOLE): error for offset in batch.offsets})
            return
        offset = batch.offsets[0]
        try:
            count = count_of(batch)
        except Exception:
            count = 1
        if count <= 1:
            found[offset, WHOLE] = error
        else:
            await self._search_events(batch, range(count), range(count), fails, found)

    async def _search_events(
        self,
        batch: PartitionBatch,
        whole: range,
        some: range,
        fails: Fails,
        found: dict[tuple[int, int], Exception],
    ) -> None:
        offset = batch.offsets[0]
        others = {(offset, index): "" for index in whole if index not in some}
        error = await fails(batch, {**self.aside, **others})
        if error is None:
            return
        if len(some) == 1:
            found[offset, some[0]] = error
            return
        before, middle = len(found), len(some) // 2
        for half in (some[:middle], some[middle:]):
            await self._search_events(batch, whole, half, fails, found)
        if len(found) == before:
            found.update({(offset, index): error for index in some})


def where(error: BaseException) -> str:
    """What an error was, where, and at which feature, without its message, which may hold values of events."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [f"in {frames[-1].name}, line {frames[-1].lineno}"] if frames else []
    return ", ".join([" ".join([type(error).__name__, *place]), *getattr(error, "__notes__", ())])


def _tell(number: int, found: dict[tuple[int, int], Exception]) -> None:
    (offset, index), error = next(iter(found.items()))
    log.error(
        "partition %d: %d events make this worker's own code fail, the first at offset %d%s; they become dead letters "
        "(internal_error): report this, and replay them once it is mended\n%s%s",
        number,
        len(found),
        offset,
        "" if index == WHOLE else f", index {index}",
        "".join(traceback.format_tb(error.__traceback__)),
        type(error).__name__,
        extra={"partition": number},
    )
