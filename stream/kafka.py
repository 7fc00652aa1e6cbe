"""How does every client of the servers connect to Kafka? As `ML_GUARD_KAFKA` and `ML_GUARD_KAFKA_*` say."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from ml_guard.transports.kafka_security import NAMES, options
from ml_guard.transports.kafka_trouble import told
from stream.settings import Settings


class NoBrokerError(Exception):
    """Kafka does not answer, or not to us. The message says why, and what the operator looks at."""

    retriable = True


def connection(settings: Settings) -> dict[str, Any]:
    """What aiokafka's consumers, producers and admin clients are made with.

    Certificates are read here, so a process that is to use others is started again.

    Raises:
        ConfigError: the settings contradict one another, or a file that they name is not there.
    """
    given = {name: _plain(getattr(settings, f"kafka_{name}")) for name in NAMES}
    return {"bootstrap_servers": settings.kafka, **options(given)}


async def no_broker(client: dict[str, Any], error: BaseException) -> NoBrokerError:
    """The error for a client made with `client` that could not start."""
    return NoBrokerError(await told(client["bootstrap_servers"], client, error))


def _plain(value: str | SecretStr | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
