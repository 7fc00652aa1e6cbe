"""Do the promises hold under every fault? `make chaos` runs the tests of tests/chaos/faults.py and prints the table.

`LONG=1` gives outages their true lengths. The exit status is 0 only if every fault was injected and survived.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.lasting import LONG


class Recorder:
    """What pytest says of each test; a test's parameters count together."""

    def __init__(self, progress: Console) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.passed: dict[str, int] = defaultdict(int)
        self.failures: dict[str, list[str]] = defaultdict(list)
        self._progress = progress

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("[")[0]
        self.seconds[name] += report.duration
        if report.failed:
            self.failures[name].append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")
        elif report.when == "call":
            self.passed[name] += 1
        if report.when == "teardown":
            verdict = "[red]failed" if name in self.failures else "[green]held"
            line = f"{verdict}[/] {report.nodeid.replace('[', '(')} {self.seconds[name]:.0f} s"
            self._progress.print(line, highlight=False, soft_wrap=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures[report.nodeid].append(report.longreprtext)

    def result(self, fault: Fault) -> str:
        """Held only if every test of it ran and passed."""
        if any(test in self.failures for test in fault.tests):
            return "[red]broken[/]"
        if not all(self.passed[test] for test in fault.tests):
            return "[red]not tried[/]"
        return "[green]held[/]"


def table(faults: tuple[Fault, ...], recorder: Recorder) -> Table:
    """Fault, promise, result, seconds."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    form = "long form" if LONG else "short form"
    found = Table(
        title=f"Faults, {form}, commit {commit.stdout.strip() or 'unknown'}, {datetime.now(UTC):%Y-%m-%d}",
        caption="Promises: docs/guarantees.md. A test that tries two faults is counted in both rows.",
    )
    found.add_column("fault", ratio=1)
    found.add_column("promise", no_wrap=True)
    found.add_column("result", no_wrap=True)
    found.add_column("seconds", justify="right", no_wrap=True)
    for fault in faults:
        seconds = sum(recorder.seconds[test] for test in fault.tests)
        found.add_row(fault.name, fault.promise, recorder.result(fault), f"{seconds:.1f}")
    return found


def main() -> int:
    """Run them in one process, so that they share one broker and one database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only faults whose name has one of these words")
    options = parser.parse_args()
    faults = tuple(f for f in FAULTS if not options.words or any(word in f.name for word in options.words))
    if not faults:
        parser.error("no fault has such a name")
    tests = list(dict.fromkeys(test for fault in faults for test in fault.tests))
    progress, began = Console(stderr=True), time.monotonic()
    recorder = Recorder(progress)
    options_of_pytest = ["--override-ini=addopts=", "--import-mode=importlib", "-p", "no:terminal"]
    status = pytest.main([*options_of_pytest, *tests], plugins=[recorder])
    for failures in recorder.failures.values():
        for text in failures:
            progress.print(text, markup=False, highlight=False)
    console = Console()
    console.print(table(faults, recorder))
    held = sum("held" in recorder.result(fault) for fault in faults)
    console.print(f"{held} of {len(faults)} held, in {time.monotonic() - began:.0f} s")
    return 0 if status == 0 and held == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
