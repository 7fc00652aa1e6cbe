"""What does the API load? Never Faust: a worker's machinery has no place in a request's process."""

from __future__ import annotations

import subprocess
import sys


def test_the_api_loads_no_faust() -> None:
    code = "import sys, api.__main__; print([name for name in sys.modules if name.split('.')[0] in ('faust', 'mode')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
