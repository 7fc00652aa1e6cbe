"""Do these settings still carry a credential that everybody knows?

The worker, the API and `ml-guard migrate` ask this before anything else; with `ML_GUARD_ENV=production` they refuse
to start on one.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from stream.settings import DEMO_KEY, DEMO_PASSWORD, Settings


class DemoCredentialError(Exception):
    """A demo credential is set in production. The operator sets a real one, or unsets it."""

    retriable = False


def demo_credentials(settings: Settings) -> list[str]:
    """What is wrong, a sentence each; empty if nothing is a demo's.

    >>> demo_credentials(Settings(database_url="postgresql://app:s3cret@db/ml_guard"))
    []
    >>> demo_credentials(Settings(demo_key="demo-key", database_url="postgresql://app:s3cret@db/ml_guard"))
    ['ML_GUARD_DEMO_KEY opens every project: unset it and create keys with `ml-guard key create`.']
    """
    found = []
    if settings.demo_key:
        found.append(
            "ML_GUARD_DEMO_KEY opens every project: unset it and create keys with `ml-guard key create`."
        )
    url = urlsplit(settings.database_url)
    # Written as `?password=` it counts as well.
    if unquote(url.password or "") == DEMO_PASSWORD or f"password={DEMO_PASSWORD}" in url.query.split("&"):
        found.append("ML_GUARD_DATABASE_URL has the demo's password: give the database one of its own.")
    for name in ("grafana_password", "api_database_password", "worker_database_password"):
        password = getattr(settings, name)
        if password and password.get_secret_value() == DEMO_PASSWORD:
            found.append(f"ML_GUARD_{name.upper()} is the demo's: choose another, or leave it empty.")
    return found


def refuse_demo_credentials(settings: Settings) -> None:
    """Raise `DemoCredentialError` if this is production and a demo credential is set.

    >>> refuse_demo_credentials(Settings(env="production"))
    Traceback (most recent call last):
    ...
    stream.production.DemoCredentialError: ML_GUARD_ENV=production refuses demo credentials. \
ML_GUARD_DATABASE_URL has the demo's password: give the database one of its own.
    """
    found = demo_credentials(settings) if settings.env == "production" else []
    if found:
        raise DemoCredentialError("ML_GUARD_ENV=production refuses demo credentials. " + " ".join(found))


__all__ = ["DEMO_KEY", "DemoCredentialError", "demo_credentials", "refuse_demo_credentials"]
