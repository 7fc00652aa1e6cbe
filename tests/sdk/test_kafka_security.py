"""Do settings of Kafka that contradict one another say so, by name and without a secret?"""

from __future__ import annotations

import pytest

from api.app import create_app
from ml_guard import ConfigError, MLGuardClient
from ml_guard.transports.kafka_security import options, options_of_environment
from stream.settings import Settings
from tests.doors.secured import Authority

SECRET = "a-secret-that-nobody-says"
USER = {"security_protocol": "SASL_SSL", "user": "shop", "password": SECRET}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate, its key, the key encrypted, another's key, and a file that is none of these."""
    folder = tmp_path_factory.mktemp("files")
    authority = Authority(folder)
    certificate, key = authority.signed("client", "shop")
    (folder / "text").write_text("no certificate")
    return {
        "certificate": str(certificate),
        "key": str(key),
        "encrypted": str(authority.encrypted(key, SECRET)),
        "another": str(folder / "ca.key"),
        "text": str(folder / "text"),
        "nowhere": str(folder / "nowhere.pem"),
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"security_protocol": "TLS"}, "SECURITY_PROTOCOL is TLS: it is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"password": SECRET}, "PASSWORD is set, but ML_GUARD_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({"ca_file": "nowhere"}, "CA_FILE is set, but ML_GUARD_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({**USER, "security_protocol": "SSL"}, "USER is set, but ML_GUARD_KAFKA_SECURITY_PROTOCOL is SSL.* set SASL_SSL"),
        (
            {**USER, "security_protocol": "SASL_PLAINTEXT", "ca_file": "text"},
            "CA_FILE is set, but .* SASL_PLAINTEXT.* set SASL_SSL",
        ),
        ({**USER, "user": None}, "SASL_SSL, but ML_GUARD_KAFKA_USER is not set"),
        ({**USER, "password": ""}, "SASL_SSL, but ML_GUARD_KAFKA_PASSWORD is not set"),
        ({**USER, "sasl_mechanism": "GSSAPI"}, "SASL_MECHANISM is GSSAPI: it is one of SCRAM-SHA-512, SCRAM"),
        ({**USER, "ca_file": "nowhere"}, "CA_FILE names .*nowhere.pem, where no file is"),
        ({**USER, "ca_file": "text"}, "CA_FILE names .*text, which holds no certificates in PEM"),
        ({"security_protocol": "SSL", "key_file": "key"}, "KEY_FILE is set, but ML_GUARD_KAFKA_CERT_FILE is not"),
        ({"security_protocol": "SSL", "cert_file": "certificate", "key_file": "another"}, "not a certificate and its key"),
        ({"security_protocol": "SSL", "cert_file": "certificate", "key_file": "encrypted"}, "KEY_PASSWORD does not open"),
        (
            {
                "security_protocol": "SSL",
                "cert_file": "certificate",
                "key_file": "encrypted",
                "key_password": SECRET + "!",
            },
            "KEY_PASSWORD does not open",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(given: dict[str, str], words: str, files: dict[str, str]) -> None:
    placed = {name: files.get(value, value) for name, value in given.items()}
    with pytest.raises(ConfigError, match=words) as refused:
        options(placed)
    assert SECRET not in str(refused.value)


def test_what_fits_is_what_aiokafka_takes(files: dict[str, str]) -> None:
    assert options({}) == options({"security_protocol": "PLAINTEXT", "user": ""}) == {}
    given = {"cert_file": files["certificate"], "key_file": files["encrypted"], "key_password": SECRET}
    made = options({**USER, **given, "sasl_mechanism": "PLAIN"})
    assert made.pop("ssl_context").check_hostname
    assert made == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "shop",
        "sasl_plain_password": SECRET,
    }
    named = {f"ML_GUARD_KAFKA_{name.upper()}": value for name, value in USER.items()}
    assert options_of_environment(named)["sasl_mechanism"] == "SCRAM-SHA-512"


def test_clients_and_services_say_it_when_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ML_GUARD_KAFKA_PASSWORD", SECRET)
    with pytest.raises(ConfigError, match="ML_GUARD_KAFKA_PASSWORD is set, but"):
        MLGuardClient(kafka="127.0.0.1:9")
    MLGuardClient(kafka="127.0.0.1:9", kafka_options={"security_protocol": "PLAINTEXT"}).close(0)
    with pytest.raises(ConfigError, match="ML_GUARD_KAFKA_PASSWORD is set, but"):
        create_app(Settings())
