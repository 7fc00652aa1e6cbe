"""How does every message of the outbox reach its receiver, and none twice but where a reply was lost?

A message is claimed in a fenced transaction, sent, and noted as sent. Who dies in between leaves it claimed for half
a minute; then it is sent again under the same id. What fails is tried again with growing pauses until it is given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream.alerting.channels.base import Channel, DeliveryError
from stream.store.alert_outbox import Outgoing, claim, note_not_sent, note_sent
from stream.store.lease import Lease, fence
from stream.store.pool import Connection

log = logging.getLogger(__name__)

CLAIMED_FOR = timedelta(seconds=30)
"""Longer than an attempt can take, so that a slow one is not repeated beside itself."""
SEND_TIMEOUT_S = 20.0
MESSAGES_A_STEP = 20
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
"""A receiver that comes back has what it missed within five minutes."""


def pause_s(attempts: int, chance: float) -> float:
    """The pause after so many attempts: doubled each time, somewhere between half and all of it.

    >>> pause_s(1, 1.0), pause_s(4, 1.0), pause_s(4, 0.0), pause_s(60, 1.0)
    (2.0, 16.0, 8.0, 300.0)
    """
    whole = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30))
    return whole * (0.5 + 0.5 * chance)


@dataclass
class Courier:
    """Sends what is due, a step at a time.

    Parameters
    ----------
    channels : mapping
        The receivers by name.
    give_up : timedelta
        How long after it was written a message is no longer tried.
    chance : callable
        A number in [0, 1): spreads attempts that would otherwise coincide.
    attempted : callable
        Told the channel and the outcome of each attempt.
    """

    channels: Mapping[str, Channel]
    clock: Callable[[], datetime]
    give_up: timedelta = timedelta(hours=72)
    chance: Callable[[], float] = random.random
    attempted: Callable[[str, str], None] = lambda channel, outcome: None

    async def step(self, connection: Connection, lease: Lease) -> bool:
        """Send what is due; whether there was anything.

        Raises
        ------
        LeaseLostError
            If another worker leads now; nothing was claimed.
        """
        now = self.clock()
        async with connection.transaction():
            await fence(connection, lease)
            claimed = await claim(connection, now, now + CLAIMED_FOR, MESSAGES_A_STEP)
        turn = asyncio.Lock()  # one connection, and each outcome is noted as soon as it is known
        outcomes = await asyncio.gather(
            *(self._deliver(connection, turn, one) for one in claimed), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return bool(claimed)

    async def _deliver(self, connection: Connection, turn: asyncio.Lock, one: Outgoing) -> None:
        try:
            await self._send(one)
        except DeliveryError as error:
            async with turn:
                await self._note_failure(connection, one, error)
        else:
            self.attempted(one.channel, "sent")
            async with turn:
                await note_sent(connection, one, self.clock())

    async def _send(self, one: Outgoing) -> None:
        channel = self.channels.get(one.channel)
        if channel is None:
            raise DeliveryError(f"no channel {one.channel!r} is set up")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await channel.send(one.message_id, one.message, self.clock())
        except TimeoutError:
            raise DeliveryError("the receiver took too long") from None
        except DeliveryError:
            raise
        except Exception as error:  # a message that a channel cannot write must not end the worker
            log.exception("message %s to %s could not be written", one.message_id, one.channel)
            raise DeliveryError(f"the message could not be written: {type(error).__name__}") from None

    async def _note_failure(self, connection: Connection, one: Outgoing, error: DeliveryError) -> None:
        now = self.clock()
        pause = error.retry_after_s
        if pause is None:
            pause = pause_s(one.attempts, self.chance())
        again_at = now + timedelta(seconds=pause)
        over = again_at - one.created_at > self.give_up
        self.attempted(one.channel, "given_up" if over else "failed")
        log.warning(
            "message %s to %s, attempt %d: %s; %s",
            one.message_id,
            one.channel,
            one.attempts,
            error,
            "given up" if over else f"again in {pause:.0f} s",
            extra={"message_id": one.message_id, "channel": one.channel},
        )
        await note_not_sent(connection, one, str(error), None if over else again_at)
