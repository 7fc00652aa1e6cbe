"""How does a message reach people by e-mail?"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from stream.alerting.channels.base import TIMEOUT_S, ChannelSettingError, DeliveryError
from stream.alerting.wording import Message

DOMAIN = "ml-guard.invalid"
"""The right side of message ids: a name that nobody has."""


@dataclass(frozen=True)
class MailServer:
    """The server that takes mail."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.user is not None and self.tls == "none":
            raise ChannelSettingError(
                "ML_GUARD_SMTP_TLS=none would send the password of ML_GUARD_SMTP_USER in the clear: "
                "use starttls or tls"
            )

    def send(self, mail: EmailMessage) -> None:
        """One attempt. Raises what `smtplib` raises."""
        context = None if self.tls == "none" else ssl.create_default_context(cafile=self.ca_file)
        if self.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        try:
            if self.tls == "starttls":
                server.starttls(context=context)
            if self.user is not None:
                server.login(self.user, self.password or "")
            server.send_message(mail)
        finally:
            try:
                server.quit()
            except (smtplib.SMTPException, OSError):
                server.close()


@dataclass(frozen=True)
class Mail:
    """Some addresses that get every message."""

    server: MailServer
    sender: str
    to: Sequence[str]

    def __post_init__(self) -> None:
        if not self.to:
            raise ChannelSettingError("an e-mail channel of alerts has no addresses")

    async def send(self, message_id: str, message: Message, at: datetime) -> None:
        """Send one mail to all; `Message-ID` is the same in every attempt. Raises `DeliveryError`."""
        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Subject"] = " ".join(message.subject.split())
        mail["Date"] = format_datetime(at)
        mail["Message-ID"] = f"<{message_id}@{DOMAIN}>"
        mail["X-ML-Guard-Message-Id"] = message_id
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        try:
            await asyncio.to_thread(self.server.send, mail)
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryError(f"the mail server refused the log-in: {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"the mail server answered {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"the mail server did not take it: {type(error).__name__}") from None
