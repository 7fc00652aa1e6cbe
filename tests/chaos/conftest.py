"""What do fault tests share? Workers over the run's Kafka and TimescaleDB, proxies before both, a broker of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench.events import PROJECTS, make_projects
from bench.fleet import Fleet
from tests.chaos.native import Native
from tests.chaos.proxy import Proxy
from tests.chaos.site import OwnBroker, port_of


@pytest.fixture
async def fleet(kafka: str, database_url: str, topic: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Workers of an empty topic; the projects of bench/events.py exist."""
    await make_projects(database_url, PROJECTS)
    with Fleet(kafka, database_url, topic, tmp_path / "workers") as workers:
        yield workers


@pytest.fixture
def database_proxy(database_url: str) -> Iterator[Proxy]:
    """A proxy before the run's database."""
    with Proxy(port_of(database_url)) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    """A broker that tests may kill, with a proxy before it."""
    with OwnBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    """A PostgreSQL server with a process a connection."""
    with Native() as server:
        yield server
