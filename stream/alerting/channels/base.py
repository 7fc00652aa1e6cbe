"""What is a channel, and how does it say that a message did not arrive?

ChannelError
  ChannelSettingError      the settings of a channel do not fit together; the worker does not start
  DeliveryError            an attempt failed; it is tried again
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from stream.alerting.wording import Message

TIMEOUT_S = 10.0
"""An attempt takes no longer; Slack answers within a second, a mail server that looks up names within a few."""


class ChannelError(Exception):
    """Something is wrong with a channel."""


class ChannelSettingError(ChannelError):
    """The settings of a channel do not fit together."""


class DeliveryError(ChannelError):
    """An attempt failed. Its text goes into the delivery log and never holds an address's secret part."""

    retriable = True

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """One receiver."""

    async def send(self, message_id: str, message: Message, at: datetime) -> None:
        """Give the message to the receiver; the id is the same in every attempt. Raises `DeliveryError`."""
