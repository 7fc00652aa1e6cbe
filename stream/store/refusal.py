"""Why does the database not let us in? A sentence for an operator, without the password."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

REFUSED = (
    OSError,
    TimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ClientConfigurationError,
)
"""What connecting raises."""
_FILES = ("sslrootcert", "sslcert", "sslkey")


class NoDatabaseError(Exception):
    """The database does not answer, or not to us. The message says why."""

    retriable = True


def place(url: str) -> str:
    """User, address and database of a URL.

    >>> place("postgresql://ml_guard_api:secret@db:5432/ml_guard?sslmode=verify-full")
    'ml_guard_api@db:5432/ml_guard'
    """
    split = urlsplit(url)
    address = split.netloc.rpartition("@")[2]
    return f"{unquote(split.username)}@{address}{split.path}" if split.username else f"{address}{split.path}"


def why(url: str, error: BaseException) -> str:
    """What an error at connecting to `url` means.

    >>> why("postgresql://a:secret@db/m", ConnectionRefusedError())
    'the database at a@db/m does not answer: nobody listens there'
    >>> why("postgresql://a:secret@db/m?sslmode=verify-full&sslrootcert=/nowhere.pem", FileNotFoundError())
    'sslrootcert= in ML_GUARD_DATABASE_URL names /nowhere.pem, where no file is'
    """
    where, asked = place(url), parse_qs(urlsplit(url).query)
    for name in _FILES:
        if name in asked and not Path(asked[name][-1]).is_file():
            return f"{name}= in ML_GUARD_DATABASE_URL names {asked[name][-1]}, where no file is"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate that the database at {where} shows is not trusted ({error.verify_message.rstrip('.')}): "
            "sslrootcert= in ML_GUARD_DATABASE_URL names the certificates that are, and for verify-full the "
            "database's has to be for the name it is asked by"
        )
    if isinstance(error, ssl.SSLError):
        return f"the database at {where} does not speak TLS with us ({error.reason})"
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return f"a pooler before the database at {where} refuses us ({error}): docs/security.md says how it is set up"
    if isinstance(error, asyncpg.InvalidPasswordError):
        return f"the database at {where} does not know this user with this password"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        plain = "no encryption" in str(error)
        cure = ": sslmode=verify-full in ML_GUARD_DATABASE_URL encrypts the connection" if plain else ""
        return f"the database at {where} refuses us ({error}){cure}"
    if isinstance(error, ConnectionRefusedError):
        return f"the database at {where} does not answer: nobody listens there"
    if isinstance(error, TimeoutError):
        return f"the database at {where} does not answer"
    return f"the database at {where} cannot be used ({type(error).__name__}: {error})"
