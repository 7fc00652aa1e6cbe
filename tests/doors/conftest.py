"""The API before the run's Kafka and TimescaleDB, as its own tests have it."""

from __future__ import annotations

from tests.api.conftest import door, make_settings

__all__ = ["door", "make_settings"]
