"""Which settings does the embedded stack read beside those of the services?"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ml_guard.cli.connection import data_folder
from stream.settings import DEMO_KEY, DEMO_PASSWORD, Settings


class StackSettings(Settings):
    """The services' settings, and those of `ml-guard up`: environment variables `ML_GUARD_<NAME>` too."""

    data_dir: Path | None = Field(
        default=None,
        description="The embedded stack's folder: data, logs, process ids; by default `.ml-guard` here or above.",
    )
    kafka_port: int = Field(
        default=9092,
        ge=1,
        le=65535,
        description="The embedded Kafka's port; if it is taken, a free one is used.",
    )
    database_port: int = Field(
        default=5433,
        ge=1,
        le=65535,
        description="The embedded database's port; if it is taken, a free one is used.",
    )
    dashboard_port: int = Field(
        default=8501,
        ge=1,
        le=65535,
        description="The dashboard's port; if it is taken, a free one is used.",
    )
    database_password: str = Field(default=DEMO_PASSWORD, description="The embedded database's password.")
    workers: int = Field(default=1, ge=0, le=64, description="How many workers `ml-guard up` starts.")

    @property
    def folder(self) -> Path:
        return (self.data_dir or data_folder()).absolute()

    @property
    def initial_key(self) -> str | None:
        """The demo has a key that everybody knows; production has none until one is made."""
        return self.demo_key or (DEMO_KEY if self.env == "demo" else None)

    @property
    def initial_grafana_password(self) -> str | None:
        """As with the key: the demo's is known, production has none until one is set."""
        if self.grafana_password is not None:
            return self.grafana_password.get_secret_value()
        return DEMO_PASSWORD if self.env == "demo" else None
