"""Where does a client send, and as whom? What its arguments say, else `ML_GUARD_*` of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_guard.errors import ConfigError

DEFAULT_URL = "http://localhost:8000"

_ON = frozenset(("", "1", "true", "yes", "on"))
_OFF = frozenset(("0", "false", "no", "off"))


@dataclass(frozen=True)
class Setup:
    """All that decides where events go; made by `setup`."""

    base_url: str
    api_key: str | None
    kafka: str | None
    bridge_known: bool
    """Whether somebody named the bridge: a client that sends to Kafka reports its counts there, not to a guess."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Of `project_id`, `model_id` and `endpoint` those that an event need not name."""
    enabled: bool = True


def setup(
    base_url: str | None = None,
    api_key: str | None = None,
    kafka: str | None = None,
    project_id: str | None = None,
    model_id: str | None = None,
    endpoint: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Setup:
    """The setup of a client with these arguments. Raises `ConfigError`.

    A bridge that is given as an argument is not overruled by `ML_GUARD_KAFKA`.

    >>> setup(environment={"ML_GUARD_URL": "http://ml-guard:8000", "ML_GUARD_PROJECT": "shop"}).defaults
    {'project_id': 'shop'}
    >>> setup("http://a:1", environment={"ML_GUARD_KAFKA": "b:9092"}).kafka is None
    True
    """
    given = os.environ if environment is None else environment
    url = given.get("ML_GUARD_URL")
    if kafka is None and base_url is None:
        kafka = given.get("ML_GUARD_KAFKA") or None
    names = {
        "project_id": project_id or given.get("ML_GUARD_PROJECT"),
        "model_id": model_id or given.get("ML_GUARD_MODEL"),
        "endpoint": endpoint or given.get("ML_GUARD_ENDPOINT"),
    }
    return Setup(
        base_url=base_url if base_url is not None else url or DEFAULT_URL,
        api_key=api_key or given.get("ML_GUARD_API_KEY") or None,
        kafka=kafka,
        bridge_known=bool(base_url or url),
        defaults={name: value for name, value in names.items() if value},
        enabled=_switch("ML_GUARD_ENABLED", given),
    )


def _switch(name: str, environment: Mapping[str, Any]) -> bool:
    text = environment.get(name, "").strip().lower()
    if text not in _ON | _OFF:
        raise ConfigError(f"{name} is neither on nor off: give 1 or 0")
    return text not in _OFF
