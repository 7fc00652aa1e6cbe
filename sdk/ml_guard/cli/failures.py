"""With which exit code and which words does a command end?

0    it worked, and the answer is good
1    it worked, and the answer is bad: drift where none is tolerated, a ledger that does not balance, a claim that fails
2    the command was not understood, or something that it needs is not there
3    the server cannot be reached, or asks to come back later
4    the server refused: the key, the name, or the values
130  interrupted
"""

from __future__ import annotations

from collections.abc import Callable

from ml_guard.cli.output import stderr
from ml_guard.errors import (
    ForbiddenError,
    MLGuardError,
    RefusedError,
    TransportError,
    UnauthorizedError,
)

NEGATIVE = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
INTERRUPTED = 130


class CommandError(MLGuardError):
    """A command cannot do its work: what is wrong, and what to do next."""

    def __init__(self, problem: str, remedy: str = "", code: int = USAGE) -> None:
        super().__init__(problem)
        self.remedy = remedy
        self.code = code


def explain(error: MLGuardError) -> tuple[str, str, int]:
    """What is wrong, what to do next, and the exit code."""
    if isinstance(error, CommandError):
        return str(error), error.remedy, error.code
    if isinstance(error, UnauthorizedError):
        return str(error), "Give a key with --api-key or ML_GUARD_API_KEY.", REFUSED
    if isinstance(error, ForbiddenError):
        return str(error), "Use a key with that scope; `ml-guard key create` makes one.", REFUSED
    if isinstance(error, RefusedError):
        return str(error), "", REFUSED
    if isinstance(error, TransportError):
        return (
            str(error),
            "Start the stack with `ml-guard up`, or name the server with --url or ML_GUARD_URL.",
            UNREACHABLE,
        )
    return str(error), "", USAGE


def guarded(run: Callable[[], int]) -> int:
    """Run a command; every expected failure becomes two lines on stderr and an exit code."""
    try:
        return run()
    except MLGuardError as error:
        problem, remedy, code = explain(error)
        console = stderr()
        console.print(f"[bad]Error:[/bad] {_sentence(problem)}", markup=True)
        if remedy:
            console.print(f"[quiet]{_plain(remedy)}[/quiet]")
        return code
    except KeyboardInterrupt:
        stderr().print("[quiet]Interrupted.[/quiet]")
        return INTERRUPTED


def _sentence(text: str) -> str:
    text = _plain(text.strip())
    return text if text.endswith((".", "!", "?")) else text + "."


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
