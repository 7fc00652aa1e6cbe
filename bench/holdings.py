"""What does each process hold, and does it grow? Memory, handles, threads and tasks, read from outside.

Handles are open file descriptors without files of the stack's own data: a broker opens more of these the longer its
log is. So they are sockets, pipes, and files that somebody forgot to close.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

WARM_UP = 0.2
"""Of the time that is looked at; what is filled once is filled by then."""
MOST_GROWTH, SMALL_MB = 0.10, 20.0
"""A line through the readings that rises by less than the tenth of their mean, or by less than this, is flat."""
FEW = 4
"""Handles, threads or tasks more in the last quarter than in the first are a leak; a pool breathes by that much."""
_LISTENING = "0A"
"""The kernel's word for it."""
_TASKS = re.compile(r"^ml_guard_(?:worker|api)_tasks (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """What one process held at one moment."""

    name: str
    life: int
    """Its process id."""
    at_s: float
    resident_mb: float
    kinds: dict[str, int]
    """Handles by what they are."""
    threads: int
    tasks: int | None

    @property
    def handles(self) -> int:
        """All of them."""
        return sum(self.kinds.values())


@dataclass
class Watched:
    """A process, and where its `/metrics` are if it has any."""

    name: str
    pid: int
    metrics: str | None = None


@dataclass
class Holdings:
    """Readings of some processes, taken every few seconds."""

    data: Path
    began: float = field(default_factory=time.monotonic)
    readings: list[Reading] = field(default_factory=list)

    async def read(self, processes: Iterable[Watched], client: httpx.AsyncClient) -> list[Reading]:
        """One round; who has ended meanwhile has none."""
        round_: list[Reading] = []
        sockets = _sockets()
        for process in processes:
            try:
                tasks = None if process.metrics is None else await _tasks(client, process.metrics)
                held = _held(process.pid, self.data, sockets)
                round_.append(Reading(process.name, process.pid, self._now(), *held, tasks))
            except (FileNotFoundError, ProcessLookupError):
                continue
        self.readings += round_
        return round_

    def _now(self) -> float:
        return time.monotonic() - self.began

    def lines(self) -> list[dict[str, Any]]:
        """All readings, to be kept."""
        return [asdict(reading) for reading in self.readings]

    def found(self) -> list[Found]:
        """What became of each name, in the order in which they were first seen."""
        by_name: dict[str, list[Reading]] = defaultdict(list)
        for reading in self.readings:
            by_name[reading.name].append(reading)
        return [_judge(name, readings) for name, readings in by_name.items()]


@dataclass(frozen=True)
class Found:
    """How a process, or those that took one another's place, held out after the warm-up."""

    name: str
    lives: int
    first_mb: float
    last_mb: float
    peak_mb: float
    mb_per_hour: float
    growth: float
    counts: dict[str, tuple[float, float]]
    """Handles, threads and tasks: medians of the first and the last quarter."""
    kinds: dict[str, tuple[float, float]]
    """Handles by what they are, likewise."""

    @property
    def wrong(self) -> list[str]:
        """What has grown."""
        grown = [
            f"{self.name}: {what} rose from {first:g} to {last:g}"
            for what, (first, last) in self.counts.items()
            if last - first > FEW
        ]
        if grown:
            grown += [
                f"{self.name}: of {kind}, {first:g} became {last:g}"
                for kind, (first, last) in self.kinds.items()
                if last > first
            ]
        if self.growth > MOST_GROWTH and self.last_mb - self.first_mb > SMALL_MB:
            grown.append(f"{self.name}: memory rose by {self.growth:.0%}, {self.mb_per_hour:+.0f} MB an hour")
        return grown


def _judge(name: str, readings: list[Reading]) -> Found:
    """Of processes that are killed, each has a warm-up of its own; the line goes through what they held after it."""
    lives: dict[int, list[Reading]] = defaultdict(list)
    for reading in readings:
        lives[reading.life].append(reading)
    after = [
        reading
        for life in lives.values()
        for reading in life
        if reading.at_s - life[0].at_s >= WARM_UP * (life[-1].at_s - life[0].at_s)
    ]
    at = np.array([reading.at_s for reading in after])
    resident = np.array([reading.resident_mb for reading in after])
    slope, intercept = np.polyfit(at, resident, 1) if at.size > 1 else (0.0, float(resident[0]))
    first, last = intercept + slope * at.min(), intercept + slope * at.max()
    counts = {
        what: _quarters(values)
        for what in ("handles", "threads", "tasks")
        if (values := [value for reading in after if (value := getattr(reading, what)) is not None])
    }
    kinds = sorted({kind for reading in after for kind in reading.kinds})
    return Found(
        name,
        len(lives),
        float(first),
        float(last),
        max(reading.resident_mb for reading in readings),
        float(slope * 3600),
        float((last - first) / resident.mean()),
        counts,
        {kind: _quarters([reading.kinds.get(kind, 0) for reading in after]) for kind in kinds},
    )


def _quarters(values: list[int]) -> tuple[float, float]:
    """Medians of the first and the last quarter."""
    quarter = max(1, len(values) // 4)
    return float(np.median(values[:quarter])), float(np.median(values[-quarter:]))


def _held(pid: int, data: Path, sockets: dict[str, str]) -> tuple[float, dict[str, int], int]:
    """Resident megabytes, handles by kind, and threads."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    if "VmRSS:" not in status:
        raise ProcessLookupError(pid)
    kinds: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # closed meanwhile, or the scan's own
            continue
        if not target.startswith(f"{data}/"):
            kinds[sockets.get(target) or re.sub(r":\[\d+\]$", "s", target)] += 1
    return _field(status, "VmRSS") / 1024, dict(kinds), _field(status, "Threads")


def _sockets() -> dict[str, str]:
    """Of every TCP socket, as a handle names it, whose connection it is: of a port that somebody listens on."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    ]
    listening = {_port(row[1]) for row in rows if row[3] == _LISTENING}
    named = {}
    for row in rows:
        here, there = _port(row[1]), _port(row[2])
        if row[3] == _LISTENING:
            name = f"listening at {here}"
        elif here in listening:
            name = f"connections from clients of {here}"
        else:
            name = f"connections to {there}"
        named[f"socket:[{row[9]}]"] = name
    return named


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _field(status: str, name: str) -> int:
    return int(status.split(f"{name}:")[1].split()[0])


async def _tasks(client: httpx.AsyncClient, url: str) -> int | None:
    try:
        said = _TASKS.search((await client.get(url)).text)
    except httpx.HTTPError:
        return None  # it begins, or ends
    return None if said is None else int(float(said[1]))
