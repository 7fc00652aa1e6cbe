"""Which partitions are this worker's, under which epoch, and where does each read on?

Whenever something does not fit, a partition's memory is thrown away and the partition claimed again from the database,
which is always right: `again`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

import asyncpg
from aiokafka.errors import KafkaError

from stream.ingest.failpoints import Failpoints
from stream.ingest.log import Log
from stream.ingest.misfit import misfit
from stream.ingest.state import StateCache
from stream.ingest.work import Partition
from stream.store import fence
from stream.store.one_topic import OtherTopicError, require_topic, take_turns
from stream.store.pool import Pool

log = logging.getLogger(__name__)

RETRY_S = 0.5
CLAIM_WITHIN_S = 15.0
"""Of a rebalance: a database that does not answer within it is waited for afterwards, so that the group goes on."""

DATABASE_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def without_values(error: BaseException) -> str:
    """What an error was and where, for the log: its message may hold values of events.

    >>> without_values(ValueError("Jane Doe"))
    'ValueError'
    """
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__
    )


class Broker(Protocol):
    """What ingestion needs of the consumer."""

    async def logs(self, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
        """What each partition's log is now."""

    async def partitions(self, topic: str) -> set[int]:
        """The partitions that the topic has at this moment; empty if that is not known."""

    async def place(self, topic: str, offsets: Mapping[int, int | None]) -> None:
        """Read on from these offsets; a partition without one stands still."""

    async def commit_hint(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Tell the group how far the database is."""

    def assigned(self) -> set[int]:
        """The partitions that the group has given to this worker; none during a rebalance."""

    def folded(self, nbytes: int) -> None:
        """These many bytes need no room any more."""


class Claims:
    """The partitions of a worker.

    Attributes
    ----------
    partitions : dict from number to Partition
        Those that are claimed.
    stopped : dict from number to str
        Those that stand still because their fence does not fit their log, or their records cannot be unpacked.
    refused : OtherTopicError or None
        Set once the database turned out to be another topic's; this worker is to end.
    """

    def __init__(
        self,
        topic: str,
        pool: Pool,
        cache: StateCache,
        *,
        clock: Callable[[], datetime],
        owner: str,
        failpoints: Failpoints,
    ) -> None:
        self.topic = topic
        self.broker: Broker | None = None
        self.partitions: dict[int, Partition] = {}
        self.stopped: dict[int, str] = {}
        self.refused: OtherTopicError | None = None
        self.coming_back: dict[int, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()
        self._pool = pool
        self._cache = cache
        self._clock = clock
        self._owner = owner
        self._failpoints = failpoints
        self._claiming = asyncio.Lock()
        self._database_failed_at: float | None = None

    def database_failed(self, what: str, error: BaseException) -> None:
        """Note that the database did not answer."""
        self._database_failed_at = time.monotonic()
        log.warning("%s: %s", what, without_values(error))

    def waits_for_database(self, within_s: float) -> bool:
        """Whether the database has failed a moment ago."""
        failed_at = self._database_failed_at
        return failed_at is not None and time.monotonic() - failed_at < within_s

    def epochs(self) -> dict[int, int]:
        """The epoch of each claimed partition."""
        return {number: partition.epoch for number, partition in self.partitions.items()}

    async def claim(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """Take over what a rebalance has assigned; where each is read on, or None where it has to stand still.

        If the database does not answer, all stand still and are claimed as soon as it does.
        """
        wanted = list(partitions)
        for number in wanted:
            self.drop(number)
        try:
            async with asyncio.timeout(CLAIM_WITHIN_S), self._claiming:
                return await self._claim(wanted)
        except (*DATABASE_ERRORS, KafkaError) as error:
            self.database_failed(f"partitions {wanted} cannot be claimed yet", error)
            for number in wanted:
                self.again(number, after_s=RETRY_S)
            return dict.fromkeys(wanted)

    async def _claim(self, wanted: list[int]) -> dict[int, int | None]:
        try:
            return await self._claim_here(wanted)
        except OtherTopicError as error:
            self.refused = error
            self.stopped.update(dict.fromkeys(wanted, str(error)))
            return dict.fromkeys(wanted)

    async def _claim_here(self, wanted: list[int]) -> dict[int, int | None]:
        assert self.broker is not None
        logs = await self.broker.logs(self.topic, wanted)
        identity = next((found.identity for found in logs.values()), None)
        existing = await self.broker.partitions(self.topic)
        async with self._pool.acquire() as connection, connection.transaction():
            await take_turns(connection)
            await require_topic(connection, self.topic)
            fences = await fence.claim(
                connection,
                self.topic,
                {number: logs[number].first for number in wanted},
                identity=identity,
                owner=self._owner,
                now=self._clock(),
            )
            reasons = {number: misfit(self.topic, fences[number], logs[number]) for number in wanted}
            everyone = await fence.read(connection, self.topic) if existing else {}
            gone = {
                number: misfit(self.topic, everyone[number], None) for number in everyone.keys() - existing
            }
            await fence.stop(connection, self.topic, {**gone, **reasons})
        self._failpoints.passing("after_claim")
        places: dict[int, int | None] = {}
        for number, known in fences.items():
            reason = reasons[number]
            if reason is None:
                at = known.next_offset
                self.partitions[number] = Partition(number, known.epoch, at, at, at)
                self.stopped.pop(number, None)
                places[number] = at
            else:
                self.stopped[number] = reason
                places[number] = None
                log.error("partition %d stands still: %s", number, reason, extra={"partition": number})
        self.changed.set()
        return places

    def out_of_range(self, partition: int, offset: int) -> None:
        """The broker has no such offset: look again what the log holds, which gives the reason."""
        log.error(
            "partition %d: offset %d is out of the log's range",
            partition,
            offset,
            extra={"partition": partition},
        )
        self.again(partition)

    def unreadable(self, number: int, offset: int, why: str) -> None:
        """Nobody here can unpack the records from this offset on: stand still there, and try again at the next claim."""
        partition = self.partitions.get(number)
        if partition is not None and number not in self.coming_back:
            reason = f"records from offset {offset} on cannot be unpacked: {why}. Nothing was skipped."
            self._soon(number, self._stand_still(partition, offset, reason))

    def unreadable_state(self, partition: Partition, why: str) -> None:
        """State that its records belong to cannot be read here: stand still before them, until another claims it."""
        self._stop(
            partition,
            f"state that records from offset {partition.written} on belong to cannot be read by {self._owner}: {why}. "
            "Nothing was skipped; a worker that can read it goes on here.",
        )

    def unfoldable(self, partition: Partition, why: str) -> None:
        """Our own code fails again and again, and on no event alone: stand still before them."""
        self._stop(
            partition,
            f"records from offset {partition.written} on make this worker's own code fail ({why}), and none of their events "
            "does so alone. Nothing was skipped: report this. A worker that is started anew tries again.",
        )

    def _stop(self, partition: Partition, reason: str) -> None:
        if partition.gone:
            return
        number = partition.number
        self.drop(number)
        if number not in self.coming_back:
            self._soon(number, self._stop_here(partition, reason))

    def drop(self, number: int) -> None:
        """Throw away a partition's memory; what it had not written is read again by whoever claims it."""
        partition = self.partitions.pop(number, None)
        if partition is not None:
            partition.gone = True
        self._cache.drop(number)
        self.changed.set()

    def give_up(self, partition: Partition, *, after_s: float = RETRY_S) -> None:
        """`again`, unless it is gone already."""
        if not partition.gone:
            self.again(partition.number, after_s=after_s)

    def go_on(self, stalled: Iterable[int]) -> None:
        """Claim partitions again that lie still although their logs go on."""
        for number in set(stalled) - self.coming_back.keys():
            log.warning(
                "partition %d lies still although its log goes on; it is claimed again",
                number,
                extra={"partition": number},
            )
            self.again(number)

    def again(self, number: int, *, after_s: float = 0.0) -> None:
        """Throw away the partition's memory and claim it again, if it is still assigned then."""
        self.drop(number)
        if number not in self.coming_back:
            self._soon(number, self._come_back(number, after_s))

    def _soon(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.coming_back[number] = task
        task.add_done_callback(lambda _: self.coming_back.pop(number, None))

    async def _stand_still(self, partition: Partition, offset: int, reason: str) -> None:
        """Fetch no more, wait until what came before is written, and leave the reason where the worker's state is read."""
        assert self.broker is not None
        number = partition.number
        await self.broker.place(self.topic, {number: None})
        while not partition.gone:
            await asyncio.sleep(RETRY_S)
            if partition.written < offset:
                continue
            try:
                async with self._pool.acquire() as connection:
                    own = await fence.stop_own(connection, self.topic, number, partition.epoch, reason)
            except DATABASE_ERRORS as error:
                self.database_failed(f"partition {number} cannot be stopped yet", error)
                continue
            if own:
                self.stopped[number] = reason
                log.error("partition %d stands still: %s", number, reason)
            self.drop(number)

    async def _stop_here(self, partition: Partition, reason: str) -> None:
        assert self.broker is not None
        number = partition.number
        await self.broker.place(self.topic, {number: None})
        while True:
            try:
                async with self._pool.acquire() as connection:
                    own = await fence.stop_own(connection, self.topic, number, partition.epoch, reason)
                break
            except DATABASE_ERRORS as error:
                self.database_failed(f"partition {number} cannot be stopped yet", error)
                await asyncio.sleep(RETRY_S)
        if own:
            self.stopped[number] = reason
            log.error("partition %d stands still: %s", number, reason, extra={"partition": number})

    async def _come_back(self, number: int, after_s: float) -> None:
        assert self.broker is not None
        if number in self.broker.assigned():
            await self.broker.place(self.topic, {number: None})
        while True:
            await asyncio.sleep(after_s)
            after_s = RETRY_S
            try:
                async with self._claiming:
                    if number in self.partitions or number not in self.broker.assigned():
                        return
                    self.drop(number)
                    places = await self._claim([number])
                await self.broker.place(self.topic, places)
                return
            except (*DATABASE_ERRORS, KafkaError) as error:
                self.database_failed(f"partition {number} cannot be claimed yet", error)

    async def beat(self, generation: int) -> None:
        """Show that the worker is alive, see which partitions are still its own, and which may go on."""
        epochs = self.epochs()
        try:
            async with self._pool.acquire() as connection:
                own = await fence.beat(
                    connection, self.topic, epochs, generation=generation, now=self._clock()
                )
                accepted = (
                    await fence.resumed(connection, self.topic, self.stopped) if self.stopped else set()
                )
        except DATABASE_ERRORS as error:
            self.database_failed("no heartbeat was written", error)
            return
        for number in accepted:
            log.info("partition %d goes on: its loss was accepted", number, extra={"partition": number})
            self.stopped.pop(number, None)
            self.again(number)
        for number, epoch in epochs.items():
            partition = self.partitions.get(number)
            if number not in own and partition is not None and partition.epoch == epoch:
                log.warning("partition %d was claimed by another worker", number, extra={"partition": number})
                self.again(number, after_s=RETRY_S)
        self._claim_orphans()

    def _claim_orphans(self) -> None:
        """Partitions that are assigned and nobody's here: a rebalance was cut short."""
        assert self.broker is not None
        if self._claiming.locked():
            return
        for number in self.broker.assigned() - self.partitions.keys() - self.stopped.keys():
            if number not in self.coming_back:
                self.again(number, after_s=RETRY_S)
