"""How does a person see that a long command is at work: bars and spinners on a terminal, plain lines elsewhere?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape

from ml_guard.cli.output import bar, spinner, stderr


class Reporter:
    """Shows each step while it runs, and leaves one line behind with how long it took."""

    def done(self, label: str, seconds: float) -> None:
        """One line for a step that is over."""
        stderr().print(f"[good]✓[/good] {escape(label)} [quiet]{seconds:.1f} s[/quiet]")

    def note(self, text: str) -> None:
        """One line that took no time."""
        stderr().print(f"[good]✓[/good] {escape(text)}")

    @contextmanager
    def sending(self, label: str, events: int) -> Iterator[Callable[[int], None]]:
        """For a number of events that is known."""
        begin = time.monotonic()
        with bar(label.replace("Sent", "Sending", 1), events) as progress:
            yield progress
        self.done(f"{label}: {events:,} events", time.monotonic() - begin)

    @contextmanager
    def waiting(self, label: str) -> Iterator[Callable[[str], None]]:
        """For a condition."""
        begin = time.monotonic()
        with spinner(f"Waiting: {label[0].lower()}{label[1:]}") as update:
            yield update
        self.done(label, time.monotonic() - begin)
