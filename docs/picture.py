"""How does a command's output become a picture? `python -m docs.picture docs/images/demo.svg .venv/bin/ml-guard demo`.

The command runs in a terminal as wide as the picture, so that nothing in it is broken twice. What it says on stderr,
progress and notes, stays out.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 118
HEIGHT = 50


def main() -> None:
    """Run the command, and write what it prints as an SVG."""
    target, *command = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed(command).rstrip()))
    Path(target).write_text(console.export_svg(title="make demo"), encoding="utf-8")


def printed(command: list[str]) -> str:
    """What the command prints in a terminal, colours and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    parts = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, env=environment) as process:
        os.close(theirs)
        try:
            while data := os.read(ours, 65_536):
                parts.append(data)
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
