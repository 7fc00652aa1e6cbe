"""How does a terminal's output become a picture? `ml-guard demo | python -m docs.picture docs/images/demo.svg`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 118


def main() -> None:
    """Read coloured text from standard input and write it as an SVG."""
    text = Text.from_ansi(sys.stdin.read().rstrip())
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(text)
    Path(sys.argv[1]).write_text(console.export_svg(title="make demo"), encoding="utf-8")


if __name__ == "__main__":
    main()
