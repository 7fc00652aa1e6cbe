"""How does a broker run that lets nobody in unknown? TLS, SASL, certificates and the ACLs of docs/security.md."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from embedded.kafka import broker
from embedded.process import HOST, free_port

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PASSWORD = "the-password-of-"
"""With the user's name behind it."""
SCRAM_USERS, PLAIN_USERS = ("ml_guard_worker", "shop"), ("ml_guard_api",)
CERTIFIED = "shop"
"""Whom the client's certificate names."""
KEY_PASSWORD = "the-password-of-a-key"

_RESOURCES = {"topic": 2, "group": 3}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _ALLOW = 3, 3

_PROPERTIES = """\
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller},SASL_SSL://{host}:{sasl},SSL://{host}:{tls}
advertised.listeners=PLAINTEXT://{host}:{plain},SASL_SSL://{host}:{sasl},SSL://{host}:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
controller.quorum.voters=1@{host}:{controller}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
listener.name.ssl.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {plain_users};
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class Authority:
    """Signs certificates; `ca.pem` of its folder is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl(
            "req", "-x509", *_NEW, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"
        )

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def signed(self, name: str, subject: str, names: str = f"IP:{HOST}") -> tuple[Path, Path]:
        """A certificate for `subject`, and its key."""
        self._openssl(
            "req", "-x509", *_NEW, "-subj", f"/CN={subject}", "-addext", f"subjectAltName={names}",
            "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def encrypted(self, key: Path, password: str) -> Path:
        """The key, encrypted."""
        target = key.with_suffix(".encrypted.key")
        self._openssl("pkcs8", "-topk8", "-in", str(key), "-out", str(target), "-passout", f"pass:{password}")
        return target

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Addresses:
    """Where the broker answers: without a door, with a user, with a certificate."""

    plain: str
    sasl: str
    tls: str


class SecuredBroker:
    """One broker with every kind of door. Use as a context."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "certificates")
        certificate, key = self.authority.signed("broker", HOST)
        (self.authority.folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
        self.client, self.client_key = self.authority.signed("client", CERTIFIED)
        self.stranger = Authority(folder / "stranger")
        plain, sasl, tls = (free_port() for _ in range(3))
        self.at = Addresses(f"{HOST}:{plain}", f"{HOST}:{sasl}", f"{HOST}:{tls}")
        properties = _PROPERTIES.format(
            host=HOST, plain=plain, sasl=sasl, tls=tls, controller=free_port(), folder=self.authority.folder,
            plain_users=" ".join(f'user_{user}="{PASSWORD}{user}"' for user in PLAIN_USERS),
        )  # fmt: skip
        users = [
            f"--add-scram={mechanism}=[name={user},password={PASSWORD}{user}]"
            for user in SCRAM_USERS
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        self._part = broker.start(
            folder / "kafka", plain, folder / "kafka.log", properties_more=properties, format_more=users
        )

    def as_user(self, user: str, mechanism: str | None = None) -> dict[str, str]:
        """The settings of a client with a user."""
        named = {} if mechanism is None else {"sasl_mechanism": mechanism}
        return named | {
            "security_protocol": "SASL_SSL",
            "ca_file": str(self.authority.certificate),
            "user": user,
            "password": PASSWORD + user,
        }

    def certified(self) -> dict[str, str]:
        """The settings of a client with a certificate, whose key is encrypted."""
        return {
            "security_protocol": "SSL",
            "ca_file": str(self.authority.certificate),
            "cert_file": str(self.client),
            "key_file": str(self.authority.encrypted(self.client_key, KEY_PASSWORD)),
            "key_password": KEY_PASSWORD,
        }

    async def allow(self, page: str) -> None:
        """What the `kafka-acls.sh` lines of a page allow."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.at.plain)
        await admin.start()
        try:
            for principal, operations, kind, name in re.findall(
                r"kafka-acls\.sh .*--add --allow-principal (\S+)((?: --operation \w+)+) --(topic|group) (\S+)",
                page,
            ):
                for operation in re.findall(r"--operation (\w+)", operations):
                    await admin._send_to_controller(
                        CreateAclsRequest(
                            _RESOURCES[kind], name, _LITERAL, principal, "*", _OPERATIONS[operation], _ALLOW
                        )
                    )
        finally:
            await admin.close()

    def __enter__(self) -> SecuredBroker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.stop()


def variables(settings: dict[str, str]) -> dict[str, str]:
    """The same as environment variables."""
    return {f"ML_GUARD_KAFKA_{name.upper()}": value for name, value in settings.items()}
