"""How is a worker put together: Faust, the ingestion, the closing of days, and their end?"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import faust
import faust.auth
from aiokafka.errors import KafkaError
from faust.types import TP
from yarl import URL

from stream.catalog import Catalog
from stream.closing.service import ClosingService
from stream.garbage import collect_between_batches
from stream.healthcheck import heartbeat_file
from stream.ingest.claims import Claims
from stream.ingest.dead_letters import DeadLetters
from stream.ingest.failpoints import Failpoints
from stream.ingest.fold import LEFT_OUT
from stream.ingest.ingestion import Ingestion
from stream.ingest.lag import LagWatch
from stream.ingest.log import Log
from stream.ingest.records import PartitionBatch
from stream.ingest.stall import Stalls
from stream.ingest.transport import Consumer, Transport
from stream.ingest.watchdog import Progress, Watchdog
from stream.kafka import connection
from stream.measures import MetricsPort, WorkerMeasures
from stream.migrate import require_schema
from stream.settings import Settings
from stream.store.one_topic import require_topic
from stream.store.pool import connect
from stream.store.refusal import REFUSED, NoDatabaseError, why
from stream.store.session import require_session
from stream.topics import ensure_topics

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
SHOW_EVERY_S = 2.0
ANSWER_S = 10.0
PATIENCE_S = 60.0
LEAVE_S = 10.0
"""How long Faust may take to leave the group; what is durable is durable by then."""


class App(faust.App):
    """Faust's app, and where its consumer is to read."""

    positions: Claims


class FaustBroker:
    """What the ingestion asks of Faust's consumer."""

    def __init__(self, app: App, topic: str) -> None:
        self._app = app
        self._topic = topic

    @property
    def _consumer(self) -> Consumer:
        return cast(Consumer, self._app.consumer)

    async def logs(self, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
        """What each partition's log is now."""
        return await self._consumer.thread.logs(topic, partitions)

    async def partitions(self, topic: str) -> set[int]:
        """The partitions that the topic has at this moment; empty if that is not known."""
        return await self._consumer.thread.partitions(topic)

    async def end_offsets(self) -> dict[int, int]:
        """The last stable offset of every partition."""
        return await self._consumer.thread.end_offsets(self._topic)

    async def place(self, topic: str, offsets: Mapping[int, int | None]) -> None:
        """Read on from these offsets."""
        await self._consumer.place(topic, offsets)

    async def commit_hint(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Tell the group how far the database is."""
        await self._consumer.thread.commit_hint(topic, offsets)

    def assigned(self) -> set[int]:
        """The partitions that the group has given to this worker; none during a rebalance."""
        if self._app.rebalancing:
            return set()
        return {tp.partition for tp in self._consumer.assignment() if tp.topic == self._topic}

    def folded(self, nbytes: int) -> None:
        """These many bytes need no room any more."""
        self._consumer.folded(nbytes)

    async def behind(self, positions: dict[int, int]) -> dict[int, int]:
        """How many records each partition's log holds behind its position.

        The broker is asked, since a consumer that has stopped fetching knows nothing of what has come meanwhile.
        """
        ends = await asyncio.wait_for(self.end_offsets(), ANSWER_S)
        return {
            partition: max(0, ends.get(partition, 0) - position) for partition, position in positions.items()
        }


def make_app(settings: Settings, ingestion: Ingestion, kafka: Mapping[str, Any]) -> App:
    """Faust's app: one agent over one topic, no tables, no acknowledgements, no web server, no topics of its own."""
    request_timeout_s = max(40.0, 3 * settings.session_timeout_s)
    app = App(
        settings.group,
        broker=[URL(f"aiokafka://{server.strip()}") for server in settings.kafka.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        # Faust makes it, and nothing of ours is in it; one for all, so that workers that are killed leave no more.
        datadir=Path(tempfile.gettempdir(), f"ml-guard-worker-{os.getuid()}"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=min(3.0, settings.session_timeout_s / 3),
        broker_rebalance_timeout=max(30.0, 2 * settings.session_timeout_s),
        broker_request_timeout=request_timeout_s,
        # Idle beyond it aiokafka leaves the group and never comes back; the watchdog looks after idleness instead.
        broker_max_poll_interval=86_400.0,
        broker_commit_interval=3_600.0,
    )
    app.transport = Transport(app.conf.broker, app, loop=app.loop)
    app.positions = ingestion.claims
    ingestion.claims.broker = FaustBroker(app, settings.topic)
    topic = app.topic(settings.topic, value_type=bytes, value_serializer="raw", acks=False)

    async def fold(stream: Any) -> None:
        async for batch in stream:
            await ingestion.take(cast(PartitionBatch, batch))

    app.agent(topic, name="fold")(fold)

    async def on_revoked(_app: App, revoked: Iterable[TP], **_: Any) -> None:
        await ingestion.revoke([tp.partition for tp in revoked])

    app.on_partitions_revoked.connect(cast(Any, on_revoked))
    return app


def _credentials(kafka: Mapping[str, Any]) -> faust.auth.Credentials | None:
    """Faust's name for the options of aiokafka; its transport turns them back."""
    tls = kafka.get("ssl_context")
    if "sasl_mechanism" in kafka:
        return faust.auth.SASLCredentials(
            mechanism=kafka["sasl_mechanism"],
            username=kafka["sasl_plain_username"],
            password=kafka["sasl_plain_password"],
            ssl_context=tls,
        )
    return faust.auth.SSLCredentials(tls) if tls else None


class Worker:
    """One worker process: `await run()` until `stop()`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime] | None = None) -> None:
        self.settings = settings
        self.clock = clock or (lambda: datetime.now(UTC))
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Write what is there, leave the group, end."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. Raises if a part of it fails for good."""
        settings = self.settings
        await ensure_topics(settings)
        kafka = connection(settings)
        try:
            pool = await connect(settings.database_url)
        except REFUSED as error:
            raise NoDatabaseError(why(settings.database_url, error)) from error
        await require_session(pool)
        async with pool.acquire() as first:
            await require_schema(first)  # type: ignore[arg-type]  # a pool's proxy does all of it
            await require_topic(first, settings.topic)
        catalog = Catalog(pool, settings.label_key)
        await catalog.load()
        measures = WorkerMeasures()
        dead = DeadLetters(kafka, settings.dead_topic)
        await dead.start()
        ingestion = Ingestion(
            settings,
            pool,
            catalog,
            dead,
            clock=self.clock,
            owner=self.owner,
            failpoints=Failpoints.from_environment(production=settings.env == "production"),
            measures=measures,
        )
        app = make_app(settings, ingestion, kafka)
        broker = cast(FaustBroker, ingestion.claims.broker)
        watchdog = Watchdog(PATIENCE_S)
        closing = ClosingService(
            settings.database_url, self.clock, broker.end_offsets, settings, self.owner, measures
        )
        await app.start()
        port = None
        if settings.worker_metrics_port:
            port = MetricsPort.open(measures, settings.worker_metrics_host, settings.worker_metrics_port)
        watchdog.start()
        tasks: list[asyncio.Future[None]] = [
            asyncio.ensure_future(catalog.follow()),
            asyncio.ensure_future(ingestion.run()),
            asyncio.ensure_future(self._report(ingestion, broker, watchdog)),
            asyncio.ensure_future(self._crashed(app, ingestion.claims)),
            asyncio.ensure_future(collect_between_batches()),
            asyncio.ensure_future(closing.run()),
        ]
        log.info("worker %s reads %s", self.owner, settings.topic)
        stop = asyncio.ensure_future(self._stopped())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task.done()]
        closing.stop()
        await asyncio.wait(tasks[-1:], timeout=LEAVE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if port is not None:
            port.close()
        if not failed:
            await self._leave(app, ingestion)
        with suppress(TimeoutError):
            await asyncio.wait_for(dead.stop(), LEAVE_S)
        watchdog.stop()
        pool.terminate()
        for task in failed:
            task.result()
            raise RuntimeError("a part of the worker has ended by itself")

    async def _stopped(self) -> None:
        await self._stopping.wait()

    async def _leave(self, app: App, ingestion: Ingestion) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(ingestion.checkpoint_all(), LEAVE_S)
        for number in list(ingestion.claims.partitions):
            ingestion.claims.drop(number)
        try:
            await asyncio.wait_for(app.stop(), LEAVE_S)
        except Exception as error:
            log.warning("Faust did not end cleanly: %r", error)
        log.info("worker %s has left", self.owner)

    async def _crashed(self, app: App, claims: Claims) -> None:
        while not app.crashed:
            if claims.refused is not None:
                raise claims.refused
            await asyncio.sleep(0.5)
        reason = app.crash_reason
        raise RuntimeError(f"Faust has crashed: {reason!r}") from reason

    async def _report(self, ingestion: Ingestion, broker: FaustBroker, watchdog: Watchdog) -> None:
        """Show the watchdog how it goes, and every few seconds a line of log."""
        logged_at, logged_events, behind = time.monotonic(), 0, 0
        lag, stalls = LagWatch(), Stalls()
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            claims = ingestion.claims
            written = {number: partition.written for number, partition in claims.partitions.items()}
            waits = claims.waits_for_database(PATIENCE_S / 2)
            try:
                records = await broker.behind(written)
                behind = sum(records.values())
                ingestion.measures.show_lag(records, lag.seconds(claims.partitions, records, time.time()))
                claims.go_on(stalls.found(claims.partitions, records, time.monotonic()))
            except KafkaError as error:
                log.warning("the log's end could not be asked for: %r", error)
                waits = True
            except TimeoutError:
                log.warning("the log's end could not be asked for within %.0f s", ANSWER_S)
                behind = max(behind, 1)  # who cannot ask cannot know; if it lasts, this worker is stuck
            watchdog.show(Progress(sum(written.values()), behind > 0, waits))
            ingestion.measures.show_state(
                nbytes=ingestion.cache.nbytes,
                limit=ingestion.cache.limit,
                model_days=len(ingestion.cache),
                partitions=len(written),
                stopped=len(claims.stopped),
                tasks=len(asyncio.all_tasks()),
            )
            with suppress(OSError):
                heartbeat_file().touch()
            now = time.monotonic()
            if now - logged_at < LOG_EVERY_S:
                continue
            pace = ingestion.pace
            log.info(
                "events/s=%.0f lag=%d checkpoint_ms=%.0f model_days=%d state_mb=%.1f over_cap=%d partitions=%s stopped=%s",
                (pace.events_written - logged_events) / (now - logged_at),
                behind,
                pace.took_s * 1000,
                len(ingestion.cache),
                ingestion.cache.nbytes / 1e6,
                ingestion.folder.beyond[LEFT_OUT],
                sorted(written),
                sorted(claims.stopped),
            )
            logged_at, logged_events = now, pace.events_written
