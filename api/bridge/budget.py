"""How much may the bridge hold in memory? Bodies being read and records that the broker has not acknowledged."""

from __future__ import annotations

from api.problems import Problem


class Budget:
    """A count of bytes held, with a bound.

    >>> budget = Budget(10)
    >>> budget.take(8)
    >>> budget.take(8)
    Traceback (most recent call last):
    ...
    api.problems.Problem: buffer_full: The bridge holds as much as it may (8 of 10 bytes); send again shortly.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, size: int) -> None:
        """Hold these bytes too. Raises the problem `buffer_full`."""
        if self.held + size > self.most:
            raise Problem(
                "buffer_full",
                f"The bridge holds as much as it may ({self.held} of {self.most} bytes); send again shortly.",
                retry_after_s=1,
            )
        self.held += size

    def give(self, size: int) -> None:
        """These bytes are no longer held."""
        self.held -= size
