"""Which settings does the embedded stack read beside those of the services?"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_guard.cli.connection import data_folder
from stream.settings import DEMO_KEY, DEMO_PASSWORD


class StackSettings(BaseSettings):
    """Every setting is an environment variable `ML_GUARD_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="ML_GUARD_", env_ignore_empty=True)

    data_dir: Path | None = Field(
        default=None,
        description="The embedded stack's folder: data, logs, process ids. By default `.ml-guard` here.",
    )
    kafka_port: int = Field(
        default=9092, ge=1, le=65535, description="Kafka's port; if taken, a free one is used."
    )
    database_port: int = Field(
        default=5433, ge=1, le=65535, description="The database's port; if taken, a free one is used."
    )
    database_password: str = Field(default=DEMO_PASSWORD, description="The embedded database's password.")
    api_port: int = Field(
        8000, ge=1, le=65535, description="The API's port; if taken, `up` says so and ends."
    )
    demo_key: str | None = Field(default=None, description="An API key for every project, for demos only.")
    env: str = "demo"
    workers: int = Field(default=1, ge=0, le=64, description="Workers that `ml-guard up` starts.")

    @property
    def folder(self) -> Path:
        return data_folder().absolute()

    @property
    def api_key(self) -> str | None:
        """The demo has a key that everybody knows; production has none until it is made."""
        return self.demo_key or (DEMO_KEY if self.env == "demo" else None)
