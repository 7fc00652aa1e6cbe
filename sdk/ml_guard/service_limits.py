"""How much may one of many have in a while? Buckets by name, and what counts as one address; for API and dashboard."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

KEYS = 10_000
"""Buckets kept; the least used goes first, and comes back full, which favours its key by one burst at most."""

BURST_S = 2.0
"""A bucket holds what may be had in this time, so that a client's batches do not meet the limit by their shape."""


class Buckets:
    """Each key, or whatever has a name, may have `per_s` units a second on average.

    A request is let in while the bucket is not empty, whatever its size, and may leave it in debt: the size is known
    only once the body was read, and a limit that refuses after reading saves nothing.

    >>> now = 0.0
    >>> limit = Buckets(per_s=100, clock=lambda: now)
    >>> limit.wait_s("a"), limit.spend("a", 300), limit.wait_s("a"), limit.wait_s("b")
    (0.0, None, 1.0, 0.0)
    >>> now = 1.5
    >>> limit.wait_s("a")
    0.0
    """

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s, self._clock = per_s, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key_id: str) -> float:
        """How long the key has to wait before its next request; 0: not at all."""
        level = self._level(key_id)
        return 0.0 if level >= 0 else -level / self._per_s

    def spend(self, key_id: str, units: int) -> None:
        """Take these from the key's bucket; less than none are given back."""
        self._buckets[key_id] = (self._level(key_id) - units, self._clock())
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > KEYS:
            self._buckets.popitem(last=False)

    def _level(self, key_id: str) -> float:
        full = self._per_s * BURST_S
        level, at = self._buckets.get(key_id, (full, self._clock()))
        return min(full, level + (self._clock() - at) * self._per_s)


def neighbourhood(address: str) -> str:
    """What counts as one address: of IPv6 the network, since whoever has one address there has all of them.

    >>> neighbourhood("192.0.2.7"), neighbourhood("2001:db8:1:2:3:4:5:6"), neighbourhood("")
    ('192.0.2.7', '2001:db8:1:2::', '')
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
