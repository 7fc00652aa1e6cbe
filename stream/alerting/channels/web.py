"""How does a message reach a web address: Slack's incoming webhook, or a receiver that checks a signature?"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
from datetime import datetime

import httpx
import msgspec

from stream.alerting.channels.base import TIMEOUT_S, ChannelSettingError, DeliveryError
from stream.alerting.wording import Message

# An address is a secret, and httpx logs the address of every request.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

PREFIX = "whsec_"
_RETRY_AFTER_MOST_S = 3600.0


class Slack:
    """Slack's incoming webhook, and what understands the same JSON."""

    def __init__(self, url: str) -> None:
        self._url = checked(url, "slack")

    async def send(self, message_id: str, message: Message, at: datetime) -> None:
        """Post the text, its first line bold. Raises `DeliveryError`."""
        first, _, rest = escape(message.text).partition("\n")
        text = f"*{first}*\n{rest}\n_Message {message_id}_"
        body = {"text": text, "unfurl_links": False}
        await post(self._url, msgspec.json.encode(body), {"X-ML-Guard-Message-Id": message_id})


class Webhook:
    """A receiver of JSON, signed as standardwebhooks.com says: `webhook-id`, `-timestamp`, `-signature`.

    The signature is `v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`. A receiver that has seen the id
    before has the message already.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._key = checked(url, "webhook"), key_of(secret)

    async def send(self, message_id: str, message: Message, at: datetime) -> None:
        """Post what programs read. Raises `DeliveryError`."""
        body = msgspec.json.encode(
            {"id": message_id, "subject": message.subject, "text": message.text, "alerts": message.alerts}
        )
        timestamp = str(int(at.timestamp()))
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self._key, message_id, timestamp, body),
        }
        await post(self._url, body, headers)


def key_of(secret: str) -> bytes:
    """The key that a secret stands for.

    >>> key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").hex()[:8], key_of("plain")
    ('31f290f6', b'plain')
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ChannelSettingError(f"the webhook's secret begins with {PREFIX} but is not base64") from None


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The header `webhook-signature`, here with the specification's own example.

    >>> body = b'{"test": 2432232314}'
    >>> sign(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def escape(text: str) -> str:
    """Text as Slack shows it unchanged; a feature's name must not become a link or a mention.

    >>> escape("<!channel> a & b")
    '&lt;!channel&gt; a &amp; b'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def checked(url: str, channel: str) -> str:
    """The address, if it is one. Raises `ChannelSettingError`, without repeating it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ChannelSettingError(f"the address of the {channel} channel is not an http(s) address")
    return url


async def post(url: str, body: bytes, headers: dict[str, str]) -> None:
    """One attempt; whatever is not a 2xx is a failure."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
            answer = await client.post(
                url, content=body, headers={"Content-Type": "application/json", **headers}
            )
    except (httpx.HTTPError, OSError) as error:
        raise DeliveryError(f"the receiver was not reached: {type(error).__name__}") from None
    if not answer.is_success:
        raise DeliveryError(f"the receiver answered {answer.status_code}", _retry_after_s(answer))


def _retry_after_s(answer: httpx.Response) -> float | None:
    try:
        return min(_RETRY_AFTER_MOST_S, max(0.0, float(answer.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None
