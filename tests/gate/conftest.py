"""A server that gives the answers it is told to give, and the real one, before a worker and the closing."""

from tests.cli.conftest import api, typed
from tests.data.conftest import client, door, product
from tests.ingest.conftest import make_bench

__all__ = ["api", "client", "door", "make_bench", "product", "typed"]
