"""What does `ml-guard` do when it is typed? Finds out whether the command line is installed, then runs it."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `ml-guard`."""
    try:
        from ml_guard.cli.app import run
    except ImportError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        print(
            "ml-guard: the command line is an extra of its own: pip install 'ml-guard[cli]'", file=sys.stderr
        )
        sys.exit(2)
    sys.exit(run())
