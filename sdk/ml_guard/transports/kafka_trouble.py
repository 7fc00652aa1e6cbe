"""Why does Kafka not answer? aiokafka says that it does not, and keeps to itself what each server had against it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from ml_guard.transports.kafka_security import PREFIX

ANSWER_S = 5.0
_DOOR = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
_PROTOCOL = f"{PREFIX}SECURITY_PROTOCOL"


async def why(
    servers: str, options: Mapping[str, Any], answer_s: float = ANSWER_S
) -> tuple[Exception, str] | None:
    """What the first server that says no has against these options, and a sentence; None if all of them say yes."""
    from aiokafka.conn import create_conn

    door = {name: options[name] for name in _DOOR if name in options}
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            host, port = server.strip(), "9092"
        try:
            connection = await asyncio.wait_for(
                create_conn(host, int(port), request_timeout_ms=round(answer_s * 1000), **door), answer_s
            )
        except Exception as error:
            return error, sentence(error, f"{host}:{port}", options)
        connection.close()
    return None


async def told(servers: str, options: Mapping[str, Any], error: BaseException) -> str:
    """A sentence for an operator about a client that could not start with this error."""
    if (found := await why(servers, options)) is not None:
        return found[1]
    if "sasl_mechanism" not in options:
        return (
            f"Kafka at {servers} lets us connect and then answers nothing ({type(error).__name__}): "
            f"it may want a user; {_PROTOCOL}=SASL_SSL, {PREFIX}USER and {PREFIX}PASSWORD name one"
        )
    return f"Kafka at {servers} does not answer ({type(error).__name__}: {error})"


def sentence(error: Exception, place: str, options: Mapping[str, Any]) -> str:
    """What a server's refusal means. No secret is in it.

    >>> sentence(ConnectionRefusedError(), "kafka:9092", {})
    'Kafka at kafka:9092 does not answer: nobody listens there'
    """
    name = {kind.__name__ for kind in type(error).__mro__}
    tls = options.get("ssl_context") is not None
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate that Kafka at {place} shows is not trusted ({error.verify_message.rstrip('.')}): "
            f"{PREFIX}CA_FILE names the certificates that are, and the broker's has to be for the name it is asked by"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"Kafka at {place} does not speak TLS with us ({error.reason}): is it this port? "
            f"For one without TLS {_PROTOCOL} is PLAINTEXT or SASL_PLAINTEXT"
        )
    if name & {"AuthenticationFailedError", "SaslAuthenticationFailed"}:
        user = options.get("sasl_plain_username")
        return f"Kafka at {place} does not know the user {user} with this password ({options.get('sasl_mechanism')})"
    if "UnsupportedSaslMechanismError" in name:
        return f"Kafka at {place} does not take {options.get('sasl_mechanism')}: {PREFIX}SASL_MECHANISM names another"
    if isinstance(error, ConnectionRefusedError):
        return f"Kafka at {place} does not answer: nobody listens there"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"Kafka at {place} does not answer"
    if name & {"KafkaConnectionError", "ConnectionError", "IncompleteReadError"}:
        wanted = (
            f"it may want a certificate of ours; {PREFIX}CERT_FILE names one"
            if tls
            else f"it may want TLS; {_PROTOCOL} is then SSL or SASL_SSL"
        )
        return f"Kafka at {place} closes the connection: {wanted}"
    return f"Kafka at {place} cannot be reached ({type(error).__name__}: {error})"
