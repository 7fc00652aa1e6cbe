"""What does a running API consist of? Made once by `create_app`, reached from a request by `services_of`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fastapi import Request

from api.bridge.bridge import Bridge
from api.broker import Broker
from api.database import Database
from api.door.keyring import Keyring
from api.door.limits import RateLimit
from api.door.projects import ProjectDirectory
from api.feed import Feed
from api.measures import Measures
from api.readiness import Readiness
from api.turns import Turns
from stream.kafka import connection
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that requests share; opened when the server starts, closed when it ends."""

    settings: Settings
    database: Database
    keyring: Keyring
    projects: ProjectDirectory
    limit: RateLimit
    """Of events."""
    requests: RateLimit
    bridge: Bridge
    broker: Broker
    readiness: Readiness
    feed: Feed
    measures: Measures
    data_sets: Turns
    """Reference data sets that are read at once, of different projects: a column of each is in memory."""

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """All parts, not yet open. Raises `ConfigError` if the settings of Kafka contradict one another."""
        database = Database(
            settings.database_url, connections=settings.api_connections, statement_s=settings.api_statement_s
        )
        kafka = connection(settings)
        broker = Broker(kafka, settings.topic)
        return cls(
            settings=settings,
            database=database,
            keyring=Keyring(database, settings.demo_key, wrong_per_s=settings.wrong_keys_per_s),
            projects=ProjectDirectory(database),
            limit=RateLimit(settings.key_events_per_s, time.monotonic),
            requests=RateLimit(settings.key_requests_per_s, time.monotonic),
            bridge=Bridge(settings, kafka),
            broker=broker,
            readiness=Readiness(settings, database, broker),
            feed=Feed(database),
            measures=Measures(),
            data_sets=Turns(2),
        )

    async def open(self) -> None:
        """Start what runs beside requests; neither broker nor database need be there."""
        await self.database.open()
        await self.bridge.open()

    async def close(self) -> None:
        """End in the order in which nothing needs what has ended."""
        await self.feed.close()
        await self.bridge.close()
        await self.broker.close()
        await self.database.close()


def services_of(request: Request) -> Services:
    """The services of the app that answers this request."""
    services: Services = request.app.state.services
    return services
