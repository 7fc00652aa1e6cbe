"""Is every message delivered, whoever dies in between, and can a receiver tell a repetition?"""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from embedded.process import free_port
from stream.alerting.channels.base import ChannelSettingError, DeliveryError
from stream.alerting.channels.configured import channels
from stream.alerting.channels.mail import Mail, MailServer
from stream.alerting.channels.web import Slack, Webhook, key_of, sign
from stream.alerting.delivery import CLAIMED_FOR
from stream.settings import Settings
from stream.store.lease import LeaseLostError
from tests.alerting.conftest import Receiver
from tests.alerting.world import World

MON = date(2025, 3, 3)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def open_an_alert(world: World) -> None:
    await world.policy("drift", project_id="shop", days=1)
    await world.closes(MON, {"age": "drift"})


async def status(world: World) -> list[tuple[str, int, str | None]]:
    rows = await world.connection.fetch(
        "select status, attempts, last_error from ml_guard.alert_delivery order by number"
    )
    return [tuple(row) for row in rows]


async def test_slack_gets_the_message_once(world: World, receiver: Receiver) -> None:
    await open_an_alert(world)
    courier = world.courier({"slack": Slack(receiver.url)})
    await world.send(courier)
    await world.send(courier)
    (body,) = receiver.bodies
    assert body["text"].startswith(
        "*[warning] shop · production · churn/predict: 1 feature in drift since Mon 3 Mar"
    )
    assert "PSI 0.3" in body["text"]
    assert "q &lt; 1e-6" in body["text"]
    assert await status(world) == [("sent", 1, None)]


async def test_a_webhook_is_signed_as_the_standard_says(world: World, receiver: Receiver) -> None:
    world.evaluator.channels = ("webhook",)
    await open_an_alert(world)
    await world.send(world.courier({"webhook": Webhook(receiver.url, SECRET)}))
    ((headers, body),) = receiver.got
    expected = sign(key_of(SECRET), headers["webhook-id"], headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == expected
    assert headers["webhook-timestamp"] == str(int(world.clock.now.timestamp()))
    assert sign(b"another", headers["webhook-id"], headers["webhook-timestamp"], body) != expected
    (sent,) = receiver.bodies
    assert sent["id"] == headers["webhook-id"]
    (alert,) = sent["alerts"]
    assert (alert["event"], alert["policy"], alert["day"], alert["features"][0]["feature"]) == (
        "opened",
        "drift",
        "2025-03-03",
        "age",
    )


async def test_a_receiver_that_was_down_gets_everything_in_order_when_it_is_back(
    world: World, receiver: Receiver
) -> None:
    receiver.answers = [500, 503, 404]
    courier = world.courier({"slack": Slack(receiver.url)})
    await open_an_alert(world)
    pauses = []
    for _ in range(3):
        await world.send(courier)
        await world.send(courier)  # nothing is due yet
        due = await world.connection.fetchval("select next_attempt_at from ml_guard.alert_delivery")
        pauses.append((due - world.clock.now).total_seconds())
        world.clock.now = due
    assert pauses == [2, 4, 8]
    await world.closes(MON + timedelta(days=1))  # resolved meanwhile: waits behind the first
    await world.send(courier)
    await world.send(courier)
    assert ["Resolved" in text for text in receiver.texts] == [False, False, False, False, True]
    assert await status(world) == [("sent", 4, None), ("sent", 1, None)]


async def test_a_receiver_that_cannot_be_reached_is_tried_until_it_is_given_up(world: World) -> None:
    await open_an_alert(world)
    courier = world.courier({"slack": Slack(f"http://127.0.0.1:{free_port()}/secret-part")})
    for _ in range(3):
        await world.send(courier)
        world.clock.now += timedelta(hours=1)
    assert await status(world) == [("pending", 3, "the receiver was not reached: ConnectError")]
    world.clock.now += timedelta(hours=72)
    await world.send(courier)
    assert [one[0] for one in await status(world)] == ["failed"]


async def test_a_lost_reply_makes_a_repetition_with_the_same_id(world: World, receiver: Receiver) -> None:
    receiver.answers = [0]
    await open_an_alert(world)
    courier = world.courier({"slack": Slack(receiver.url)})
    await world.send(courier)
    world.clock.now += timedelta(seconds=2)
    await world.send(courier)
    assert len(receiver.got) == 2
    assert len({headers["x-ml-guard-message-id"] for headers, _ in receiver.got}) == 1
    assert await status(world) == [("sent", 2, None)]


async def test_a_worker_that_dies_between_claim_and_send_loses_nothing(
    world: World, receiver: Receiver
) -> None:
    await open_an_alert(world)

    class Dies:
        async def send(self, *_: Any) -> None:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.send(world.courier({"slack": Dies()}))
    successor = world.courier({"slack": Slack(receiver.url)})
    await world.send(successor)
    assert receiver.got == []  # it may be on its way
    world.clock.now += CLAIMED_FOR
    await world.send(successor)
    assert await status(world) == [("sent", 2, None)]


async def test_a_crash_before_the_commit_is_judged_again_and_makes_one_alert(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.policy("drift", project_id="shop", days=1)

    async def crash(*_: Any) -> None:
        raise asyncpg.InterfaceError("the worker is killed")

    with monkeypatch.context() as patch:
        patch.setattr("stream.alerting.evaluation.write_messages", crash)
        with pytest.raises(asyncpg.InterfaceError):
            await world.closes(MON, {"age": "drift"})
    assert (await world.alerts(), await world.subjects()) == ([], [])
    world.evaluator = world.new_evaluator()
    await world.evaluate()
    await world.evaluate()
    assert (len(await world.alerts()), len(await world.subjects())) == (1, 1)


async def test_a_worker_that_lost_the_lease_writes_and_sends_nothing(
    world: World, receiver: Receiver
) -> None:
    await open_an_alert(world)
    await world.connection.execute("update ml_guard.lease set epoch = epoch + 1")
    with pytest.raises(LeaseLostError):
        await world.send(world.courier({"slack": Slack(receiver.url)}))
    with pytest.raises(LeaseLostError):
        await world.closes(MON + timedelta(days=1))
    assert receiver.got == []
    assert (await world.alerts())[0]["state"] == "open"


class Inbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuses = 0

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuses:
            self.refuses -= 1
            return "451 try again later"
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def mail_server() -> Iterator[Callable[..., tuple[int, Inbox]]]:
    """Starts mail servers on free ports."""
    running = []

    def start(**options: Any) -> tuple[int, Inbox]:
        inbox, port = Inbox(), free_port()
        controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
        controller.start()
        running.append(controller)
        return port, inbox

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_mail_that_was_refused_comes_later_with_the_same_id(world: World, mail_server: Any) -> None:
    port, inbox = mail_server()
    inbox.refuses = 1
    world.evaluator.channels = ("email",)
    await open_an_alert(world)
    mail = Mail(
        MailServer("127.0.0.1", port, "none"), "guard@example.com", ("a@example.com", "b@example.com")
    )
    courier = world.courier({"email": mail})
    await world.send(courier)
    assert await status(world) == [("pending", 1, "the mail server answered 451")]
    world.clock.now += timedelta(seconds=2)
    await world.send(courier)
    (got,) = inbox.mails
    message_id = await world.connection.fetchval("select message_id from ml_guard.alert_delivery")
    assert got["Message-ID"] == f"<{message_id}@ml-guard.invalid>"
    assert got["To"] == "a@example.com, b@example.com"
    assert got["Subject"].startswith("[warning] shop · production · churn/predict: 1 feature in drift since")
    assert "US -6.8, CA +6.6 points" in got.get_content()


@pytest.mark.filterwarnings("ignore:Requiring AUTH", "ignore:.*log-in:DeprecationWarning")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mail_travels_encrypted_and_with_a_log_in(
    world: World, mail_server: Any, certificate: tuple[Path, Path], tls: Any
) -> None:
    cert, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    tried = []

    def authenticator(
        server: Any, session: Any, envelope: Any, mechanism: Any, data: LoginPassword
    ) -> AuthResult:
        tried.append(data)
        return AuthResult(success=data.password == b"right", handled=False)

    options: dict[str, Any] = {"authenticator": authenticator, "auth_required": True}
    if tls == "tls":
        options |= {"ssl_context": context, "auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    port, inbox = mail_server(**options)
    world.evaluator.channels = ("email",)
    await open_an_alert(world)
    wrong = MailServer("127.0.0.1", port, tls, str(cert), "guard", "wrong")
    await world.send(world.courier({"email": Mail(wrong, "guard@example.com", ("a@example.com",))}))
    assert await status(world) == [("pending", 1, "the mail server refused the log-in: 535")]
    assert "wrong" not in repr(wrong)
    world.clock.now += timedelta(seconds=2)
    right = MailServer("127.0.0.1", port, tls, str(cert), "guard", "right")
    await world.send(world.courier({"email": Mail(right, "guard@example.com", ("a@example.com",))}))
    assert len(inbox.mails) == 1
    untrusting = Mail(MailServer("127.0.0.1", port, tls), "guard@example.com", ("a@example.com",))
    with pytest.raises(DeliveryError, match="SSLCertVerificationError"):
        await untrusting.send("id", message_of("x"), world.clock.now)


def message_of(text: str) -> Any:
    from stream.alerting.wording import Message

    return Message(text, text, ())


async def test_secrets_are_neither_logged_nor_shown(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [500]
    await open_an_alert(world)
    settings = Settings(alert_slack_url=receiver.url, alert_webhook_secret=SECRET)
    courier = world.courier(channels(settings))
    await world.send(courier)
    world.clock.now += timedelta(seconds=2)
    await world.send(courier)
    assert len(receiver.got) == 2
    assert "secret-part" not in caplog.text + repr(settings) + str(await status(world))
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alert_email_to": "a@example.com"}, "set ML_GUARD_SMTP_HOST"),
        ({"alert_webhook_url": "https://example.com/x"}, "no secret to sign"),
        ({"alert_slack_url": "hooks.slack.com/secret-part"}, "not an http"),
        ({"alert_channels": {"risk": {"slack": "https://a", "email": "b"}}}, "needs one of"),
        ({"alert_email_to": "a", "smtp_host": "h", "smtp_user": "u", "smtp_tls": "none"}, "in the clear"),
    ],
)
def test_a_channel_that_is_not_set_up_right_is_refused_at_the_start(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ChannelSettingError, match=said) as refused:
        channels(Settings(**settings))
    assert "secret-part" not in str(refused.value)


async def test_policies_route_to_channels_by_name(world: World, receiver: Receiver) -> None:
    settings = Settings(
        alert_slack_url="http://127.0.0.1:9/x", alert_channels={"risk": {"slack": receiver.url}}
    )
    await world.policy("drift", project_id="shop", days=1, channels=("risk",))
    await world.closes(MON, {"age": "drift"})
    await world.send(world.courier(channels(settings)))
    assert len(receiver.got) == 1
    assert [
        row["channel"] for row in await world.connection.fetch("select channel from ml_guard.alert_delivery")
    ] == ["risk"]
