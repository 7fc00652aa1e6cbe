"""How much may the bridge hold in memory? Bodies being read and records that the broker has not acknowledged."""

from __future__ import annotations

from collections import Counter

from api.problems import Problem


class Budget:
    """A count of bytes held, with a bound for all and a lower one for each holder, so that nobody takes it all.

    >>> budget = Budget(10, share=0.5)
    >>> budget.take(4, "one project"), budget.take(4, "another")
    (None, None)
    >>> budget.take(2, "one project")
    Traceback (most recent call last):
    ...
    api.problems.Problem: buffer_full: The bridge holds as much of this project or key as it may (4 of 5 bytes); \
send again shortly.
    >>> budget.give(4, "one project"), budget.held
    (None, 4)
    """

    def __init__(self, most: int, share: float = 1.0) -> None:
        self.most, self.most_of_one = most, int(most * share)
        self.held = 0
        self._of: Counter[str] = Counter()

    def take(self, size: int, holder: str) -> None:
        """Hold these bytes too. Raises the problem `buffer_full`."""
        if self._of[holder] + size > self.most_of_one:
            raise self._full(
                "of this project or key as it may", self._of[holder], self.most_of_one, "bridge_project_share"
            )
        if self.held + size > self.most:
            raise self._full("as it may", self.held, self.most, "bridge_buffer_bytes")
        self.held += size
        self._of[holder] += size

    def give(self, size: int, holder: str) -> None:
        """These bytes are no longer held."""
        self.held -= size
        self._of[holder] -= size
        if not self._of[holder]:
            del self._of[holder]

    @staticmethod
    def _full(what: str, held: int, most: int, limit: str) -> Problem:
        return Problem(
            "buffer_full",
            f"The bridge holds as much {what} ({held} of {most} bytes); send again shortly.",
            retry_after_s=1,
            limit=limit,
        )
