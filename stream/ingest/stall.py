"""Does a partition lie still although its log goes on, and nothing of it is under way?

What a rebalance has swallowed on its way here shows as a gap as soon as the next batch arrives. On a log that has ended
none does, and a partition whose fetching was left paused gets none either. Such a partition is claimed anew, long before
the watchdog would end the worker for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from stream.ingest.work import Partition

STILL_S = 10.0


class Stalls:
    """Remembers since when each partition lies still, and where."""

    def __init__(self) -> None:
        self._still: dict[int, tuple[int, int, float]] = {}

    def found(
        self, partitions: Mapping[int, Partition], behind: Mapping[int, int], now_s: float
    ) -> list[int]:
        """Partitions of which all that arrived is written, and nothing has arrived for `STILL_S` although there is more.

        Parameters
        ----------
        behind : mapping
            Records behind each partition's checkpoint.
        now_s : float
            The time, of a clock that only goes forward.
        """
        still = {}
        for number, partition in partitions.items():
            if behind.get(number) and partition.next_offset == partition.written:
                epoch, offset, since_s = self._still.get(number, (-1, -1, now_s))
                same = (epoch, offset) == (partition.epoch, partition.written)
                still[number] = (partition.epoch, partition.written, since_s if same else now_s)
        self._still = still
        return [number for number, (*_, since_s) in still.items() if now_s - since_s >= STILL_S]
