"""What does docs/guarantees.md say? Its prose is in the file; its table is that of tests/chaos/faults.py and guards.py."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.guards import GUARDS

PAGE = Path(__file__).parent / "guarantees.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of the faults -->\n"


def page() -> str:
    """The file with its table as the faults and guards are now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = ["| fault | promise | tests | red without |", "| --- | --- | --- | --- |"]
    for fault in FAULTS:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in fault.tests)
        guards = "<br>".join(dict.fromkeys(one.name for one in GUARDS if set(one.tests) & set(fault.tests)))
        rows.append(f"| {fault.name} | {fault.promise} | {tests} | {guards} |")
    return before + BEGIN + "\n".join(rows) + "\n" + END + after
