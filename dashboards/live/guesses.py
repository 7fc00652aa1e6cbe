"""Does somebody try keys at the log-in? Each visitor's address may be wrong now and then.

The API counts the wrong keys that it gets by address, and all that are tried here come from the dashboard's. So it is
asked only for those who have not been wrong too often here: one visitor who guesses keeps no other out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ml_guard.service_limits import Buckets, neighbourhood

WRONG_PER_S = 1.0
"""More than anybody mistypes, and a tenth of what the API lets an address try."""


class Guesses:
    """Wrong keys of each visitor's address.

    >>> now = 0.0
    >>> guesses = Guesses(clock=lambda: now)
    >>> [guesses.begin("192.0.2.7") for _ in range(4)], guesses.begin("192.0.2.8")
    ([0, 0, 0, 1], 0)
    >>> guesses.was_none("192.0.2.7"), guesses.begin("192.0.2.7")
    (None, 0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._wrong = Buckets(WRONG_PER_S, clock)

    def begin(self, address: str) -> int:
        """A key is tried; how many seconds to wait before that, 0: none.

        It counts as wrong from its begin, so that many at once are no way around.
        """
        name = neighbourhood(address)
        wait_s = math.ceil(self._wrong.wait_s(name))
        if not wait_s:
            self._wrong.spend(name, 1)
        return wait_s

    def was_none(self, address: str) -> None:
        """The key was a good one, or nobody could say."""
        self._wrong.spend(neighbourhood(address), -1)


def networks(proxies: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks, separated by commas. Raises `ValueError` for what is neither."""
    return [ip_network(one.strip()) for one in proxies.split(",") if one.strip()]


def visitor(peer: str, forwarded: Iterable[str], proxies: str) -> str:
    """The address of a visitor: the peer's, or what a proxy of ours says in X-Forwarded-For.

    Each proxy adds the address that it was asked by, so the last one that is not a proxy's is the visitor's, and what
    stands before it is the visitor's own words.

    >>> visitor("192.0.2.7", ["203.0.113.9"], "")
    '192.0.2.7'
    >>> visitor("10.0.0.1", ["192.0.2.1, 203.0.113.9", "10.0.0.2"], "10.0.0.0/8, ::1")
    '203.0.113.9'
    >>> visitor("10.0.0.1", ["nobody"], "10.0.0.0/8"), visitor("10.0.0.1", [], "10.0.0.0/8")
    ('10.0.0.1', '10.0.0.1')
    """
    trusted = networks(proxies)
    found = peer
    for said in reversed([*(one.strip() for line in forwarded for one in line.split(",")), peer]):
        try:
            address = ip_address(said)
        except ValueError:
            break
        found = said
        address = getattr(address, "ipv4_mapped", None) or address
        if not any(address in network for network in trusted):
            break
    return found
