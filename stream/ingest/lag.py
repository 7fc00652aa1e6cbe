"""How far behind is each partition, in records and in seconds?"""

from __future__ import annotations

from collections.abc import Mapping

from stream.ingest.work import Partition


class LagWatch:
    """Remembers since when a log goes on of which nothing has been fetched."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}

    def seconds(
        self, partitions: Mapping[int, Partition], behind: Mapping[int, int], now_s: float
    ) -> dict[int, float]:
        """Since when the oldest record waits that no checkpoint has, by the broker's time of appending.

        Of a record that was not fetched yet the broker's time is not known: then it is since when that is so.

        Parameters
        ----------
        behind : mapping
            Records behind each partition's checkpoint.
        now_s : float
            The time, in seconds since 1970.
        """
        found = {}
        for number, records in behind.items():
            partition = partitions.get(number)
            oldest_ms = None if partition is None else partition.oldest_ms()
            if records == 0:
                self._since_s.pop(number, None)
                found[number] = 0.0
            else:
                since_s = self._since_s.setdefault(number, now_s)
                found[number] = max(0.0, now_s - (since_s if oldest_ms is None else oldest_ms / 1000))
        for number in self._since_s.keys() - behind.keys():
            del self._since_s[number]
        return found
