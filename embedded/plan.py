"""What is to run? The parts of a stack with their ports, written by `up` for the supervisor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedded.database import launch as database
from embedded.process import HOST
from ml_guard.transports.kafka_security import NAMES, PREFIX

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Plan:
    """Ports and numbers that one run of the stack keeps, through restarts of its parts."""

    kafka_port: int
    database_port: int
    api_port: int
    dashboard_port: int
    workers: int
    database_password: str
    api_key: str | None
    service_password: str = ""
    """Of the database logins of API and workers; nobody else needs it."""
    public_url: str | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def kafka(self) -> str:
        return f"{HOST}:{self.kafka_port}"

    @property
    def database_url(self) -> str:
        return database.url(self.database_port, self.database_password)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://{HOST}:{self.dashboard_port}"

    @property
    def stack(self) -> dict[str, Any]:
        """What commands and programs read to find the stack."""
        addresses = {"url": self.url, "dashboard": self.dashboard_url, "kafka": self.kafka}
        return {
            **addresses,
            "database_url": self.database_url,
            "api_key": self.api_key,
            "workers": self.workers,
        }

    @property
    def api_environment(self) -> dict[str, str]:
        """The API's settings; what else is set in the environment reaches it too."""
        return self._environment(database.url(self.database_port, self.service_password, "ml_guard_api"))

    @property
    def worker_environment(self) -> dict[str, str]:
        """A worker's."""
        return self._environment(database.url(self.database_port, self.service_password, "ml_guard_worker"))

    def _environment(self, database_url: str) -> dict[str, str]:
        variables = {
            "ML_GUARD_KAFKA": self.kafka,
            **{PREFIX + name.upper(): "" for name in NAMES},  # its own Kafka has neither TLS nor users
            "ML_GUARD_DATABASE_URL": database_url,
            "ML_GUARD_API_PORT": str(self.api_port),
            "ML_GUARD_DASHBOARD_PORT": str(self.dashboard_port),
            "ML_GUARD_PUBLIC_URL": self.public_url or self.dashboard_url,
        }
        return variables if self.api_key is None else {**variables, "ML_GUARD_DEMO_KEY": self.api_key}

    @property
    def dashboard_environment(self) -> dict[str, str]:
        """The dashboard's: it knows the API only."""
        return {**self._environment(""), "ML_GUARD_URL": self.url}
