"""A worker and the closing without Kafka, and the API before the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from ml_guard import MLGuardClient
from stream.settings import Settings
from tests.api.conftest import DEMO, Door, served
from tests.conftest import as_role
from tests.ingest.conftest import MakeBench, make_bench
from tests.ingest.product import TUESDAY, Product, in_toronto, local

__all__ = ["make_bench"]

LABEL_KEY = "a secret of the tests"


@pytest.fixture(scope="module")
def door(module_database_url: str) -> Iterator[Door]:
    """The API; no broker answers, which nothing here needs."""
    settings = Settings(
        kafka="127.0.0.1:9",
        database_url=as_role(module_database_url, "ml_guard_api"),
        demo_key=DEMO,
        label_key=SecretStr(LABEL_KEY),
    )
    with served(settings) as address:
        yield Door(address, settings)


@pytest.fixture
def client(door: Door) -> Iterator[MLGuardClient]:
    with MLGuardClient(door.address, DEMO, project_id="w", model_id="m") as made:
        yield made


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """A project `w` in Toronto that has had no event, on a Tuesday."""
    async with in_toronto(make_bench, local(TUESDAY)) as made:
        yield made
