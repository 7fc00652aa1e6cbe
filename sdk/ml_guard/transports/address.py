"""Is this the address of a bridge, and what is its certificate checked against?"""

from __future__ import annotations

from urllib.parse import urlsplit

from ml_guard.errors import ConfigError


def checked_base_url(base_url: str) -> str:
    """The address without a slash at its end. Raises `ConfigError` if it is none.

    >>> checked_base_url("http://localhost:8000/")
    'http://localhost:8000'
    """
    try:
        url = urlsplit(base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ConfigError("base_url must be an address such as http://localhost:8000")
    return base_url.rstrip("/")


def tls(base_url: str, verify: bool | str) -> bool | str:
    """What httpx is told about certificates: nothing for plain HTTP, where loading them costs 20 ms in vain."""
    return verify if base_url.startswith("https:") else False
