"""How do the services read their settings, and what do they say of one that cannot be used?

Used by API, workers, dashboard and the embedded stack; whoever only uses the SDK never imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_guard.errors import ConfigError

PREFIX = "ML_GUARD_"

S = TypeVar("S", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """Each is an environment variable `ML_GUARD_<NAME>`. Raises `ConfigError`, which names the variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, hide_input_in_errors=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ConfigError(
                "; ".join(_told(one) for one in error.errors(include_input=False, include_url=False))
            ) from None


def settings_of(service: Callable[[], S]) -> S:
    """A service's settings; ends the process with a sentence, and status 2, where they cannot be used."""
    try:
        return service()
    except ConfigError as error:
        sys.stderr.write(f"{error} (docs/settings.md)\n")
        raise SystemExit(2) from None


def _told(wrong: Any) -> str:
    """
    >>> _told({"loc": ("max_labels",), "msg": "Input should be greater than or equal to 1000"})
    'ML_GUARD_MAX_LABELS should be greater than or equal to 1000'
    >>> _told({"loc": ("dashboard_proxies",), "msg": "Value error, 'x' does not appear to be an IPv4 or IPv6 network"})
    "ML_GUARD_DASHBOARD_PROXIES: 'x' does not appear to be an IPv4 or IPv6 network"
    """
    name = "_".join(str(part) for part in wrong["loc"][:1]).upper()
    text = wrong["msg"].removeprefix("Value error, ")
    if text.startswith("Input should"):
        return f"{PREFIX}{name} {text.removeprefix('Input ')}"
    return f"{PREFIX}{name}: {text}" if name else text
