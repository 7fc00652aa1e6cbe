"""What did a soak come to, and how is it told?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from bench.holdings import Found

OK, BUSY = 200, 503


@dataclass
class Soak:
    """What a run came to."""

    seconds: float = 0.0
    events: int = 0
    late_s: float = 0.0
    """By how much the producer was behind its rate at most."""
    kills: int = 0
    read: Counter[int] = field(default_factory=Counter)
    """Answers of the API by status, or 0 where there was none."""
    read_s: list[float] = field(default_factory=list)
    lived: int = 0
    """Messages of the live stream."""
    bridged: int = 0
    refused: int = 0
    """Requests of the bridge that were sent again."""
    opened: Counter[int] = field(default_factory=Counter)
    """Answers of the dashboard."""
    lag: int = 0
    """Records that waited for a checkpoint at most, as looked at once a minute."""
    days_closed: int = 0
    drained_s: float = 0.0
    found: list[Found] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def report(result: Soak, rate: int) -> Iterator[Table]:
    """What happened, and what everybody held."""
    asked = np.array(result.read_s)
    table = Table(title=f"Soak: {result.seconds / 60:.0f} min at {rate:,} events/s")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("events", f"{result.events:,}")
    table.add_row(
        "events/s sent; at most behind", f"{result.events / result.seconds:,.0f}; {result.late_s:.1f} s"
    )
    table.add_row("workers killed by kill -9", str(result.kills))
    table.add_row("records that waited for a checkpoint, at most", f"{result.lag:,}")
    table.add_row("until all was written, after the last event", f"{result.drained_s:.1f} s")
    table.add_row("days closed", str(result.days_closed))
    table.add_row("events through the bridge; requests repeated", f"{result.bridged:,}; {result.refused}")
    table.add_row(
        "answers of the API, 503 among them; p50, p99",
        f"{asked.size:,}, {result.read[BUSY]}; {np.quantile(asked, 0.5):.2f} s, {np.quantile(asked, 0.99):.2f} s",
    )
    table.add_row("results on the live stream", f"{result.lived:,}")
    table.add_row("pages of the dashboard opened", f"{sum(result.opened.values()):,}")
    table.add_row("what is wrong", str(len(result.wrong)))
    yield table
    table = Table(title="What each process held after its warm-up: first to last")
    for column in (
        "process",
        "lives",
        "resident, MB",
        "peak",
        "MB an hour",
        "growth",
        "handles",
        "threads",
        "tasks",
    ):
        table.add_column(column, justify="left" if column == "process" else "right")
    for found in result.found:
        table.add_row(
            found.name,
            str(found.lives),
            f"{found.first_mb:.0f} to {found.last_mb:.0f}",
            f"{found.peak_mb:.0f}",
            f"{found.mb_per_hour:+.1f}",
            f"{found.growth:+.1%}",
            *(
                "{:g} to {:g}".format(*found.counts[what]) if what in found.counts else "-"
                for what in ("handles", "threads", "tasks")
            ),
        )
    yield table
