"""Is every fault of the table tried by tests that exist?"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.guards import GUARDS

ROOT = Path(__file__).parent.parent.parent


def test_every_fault_names_tests_that_exist_and_every_guard_one_of_them() -> None:
    tests = {test for fault in FAULTS for test in fault.tests} | {
        test for guard in GUARDS for test in guard.tests
    }
    known = {
        path: {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        for path in {test.partition("::")[0] for test in tests}
    }
    assert [test for test in tests if test.partition("::")[2] not in known[test.partition("::")[0]]] == []


def test_every_test_of_a_fault_goes_red_without_a_guard() -> None:
    guarded = {test for guard in GUARDS for test in guard.tests}
    assert [test for fault in FAULTS for test in fault.tests if test not in guarded] == []


def test_every_guard_can_still_be_taken_out() -> None:
    assert [guard.name for guard in GUARDS if guard.text not in (ROOT / guard.file).read_text()] == []


def test_every_test_that_make_test_leaves_out_is_a_fault_of_the_table() -> None:
    named = {test for fault in FAULTS for test in fault.tests}
    for path in (ROOT / "tests/chaos").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert f"tests/chaos/{path.name}::{node.name}" in named
