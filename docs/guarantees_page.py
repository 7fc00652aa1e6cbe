"""What does docs/guarantees.md say? Its prose is in the file; the table of faults is that of tests/chaos/faults.py."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.faults import FAULTS

PAGE = Path(__file__).parent / "guarantees.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of the faults -->\n"


def page() -> str:
    """The file with its table as the faults are now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = ["| fault | promise | tests |", "| --- | --- | --- |"]
    for fault in FAULTS:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in fault.tests)
        rows.append(f"| {fault.name} | {fault.promise} | {tests} |")
    return before + BEGIN + "\n".join(rows) + "\n" + END + after
