"""How does a client of Kafka know whom it speaks to, and say who it is? Kafka's own names, as `ML_GUARD_KAFKA_*`.

The SDK takes them from the environment, the servers from their settings; both come here, so that they mean the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_guard.errors import ConfigError

if TYPE_CHECKING:
    import ssl

PREFIX = "ML_GUARD_KAFKA_"
NAMES = (
    "security_protocol",
    "ca_file",
    "cert_file",
    "key_file",
    "key_password",
    "sasl_mechanism",
    "user",
    "password",
)
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
"""The first is the default: with it the password itself is never sent."""

_OF_TLS = ("ca_file", "cert_file", "key_file", "key_password")
_OF_SASL = ("sasl_mechanism", "user", "password")


def options_of_environment(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The options of aiokafka's clients that the environment asks for. Raises `ConfigError`."""
    given = os.environ if environment is None else environment
    return options({name: given.get(PREFIX + name.upper()) for name in NAMES})


def options(given: Mapping[str, str | None]) -> dict[str, Any]:
    """The options of aiokafka's clients for these values of `NAMES`; none for plain text. Raises `ConfigError`.

    >>> options({})
    {}
    >>> options({"security_protocol": "SASL_PLAINTEXT", "user": "shop", "password": "p"})["sasl_mechanism"]
    'SCRAM-SHA-512'
    >>> options({"user": "shop"})
    Traceback (most recent call last):
    ...
    ml_guard.errors.ConfigError: ML_GUARD_KAFKA_USER is set, but ML_GUARD_KAFKA_SECURITY_PROTOCOL is PLAINTEXT, which \
has no use for it: set SASL_SSL, or unset it
    """
    values = {name: given.get(name) or None for name in NAMES}
    protocol = values["security_protocol"] or "PLAINTEXT"
    _one_of("security_protocol", protocol, PROTOCOLS)
    tls, sasl = protocol.endswith("SSL"), protocol.startswith("SASL")
    for name in (*(() if tls else _OF_TLS), *(() if sasl else _OF_SASL)):
        if values[name] is not None:
            wanted = "SASL_SSL" if sasl or name in _OF_SASL else "SSL"
            raise ConfigError(
                f"{_variable(name)} is set, but {_variable('security_protocol')} is {protocol}, "
                f"which has no use for it: set {wanted}, or unset it"
            )
    if protocol == "PLAINTEXT":
        return {}
    made: dict[str, Any] = {"security_protocol": protocol}
    if tls:
        made["ssl_context"] = _context(values)
    if sasl:
        made |= _sasl(values, protocol)
    return made


def _sasl(values: Mapping[str, str | None], protocol: str) -> dict[str, str]:
    mechanism = values["sasl_mechanism"] or MECHANISMS[0]
    _one_of("sasl_mechanism", mechanism, MECHANISMS)
    for name in ("user", "password"):
        if values[name] is None:
            raise ConfigError(
                f"{_variable('security_protocol')} is {protocol}, but {_variable(name)} is not set: set it"
            )
    user, password = values["user"], values["password"]
    assert user is not None
    assert password is not None
    return {"sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}


def _context(values: Mapping[str, str | None]) -> ssl.SSLContext:
    import ssl

    for name in ("ca_file", "cert_file", "key_file"):
        path = values[name]
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"{_variable(name)} names {path}, where no file is")
    try:
        context = ssl.create_default_context(cafile=values["ca_file"])
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{_variable('ca_file')} names {values['ca_file']}, which holds no certificates in PEM ({_why(error)})"
        ) from None
    certificate, key = values["cert_file"], values["key_file"]
    if certificate is None:
        for name in ("key_file", "key_password"):
            if values[name] is not None:
                raise ConfigError(
                    f"{_variable(name)} is set, but {_variable('cert_file')} is not: set both, or none"
                )
        return context
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password=values["key_password"] or "")
    except (OSError, ValueError) as error:
        where = certificate if key is None else f"{certificate} and {key}"
        raise ConfigError(
            f"{where} are not a certificate and its key in PEM, or {_variable('key_password')} does not open the key "
            f"({_why(error)})"
        ) from None
    return context


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{_variable(name)} is {value}: it is one of {', '.join(known)}")


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
