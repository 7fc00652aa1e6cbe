"""What can go wrong with the embedded stack?

EmbeddedError
├── MissingToolError      Java, Maven or Node is not there or too old
├── DownloadError         Maven or npm could not fetch what a part consists of
├── DemoCredentialsError  production, and a credential that everybody knows
├── PortTakenError        a port that must be this one belongs to another process
└── PartFailedError       a part ended, or was not ready in time; says which and shows its last log lines
"""

from __future__ import annotations

from ml_guard.errors import MLGuardError

__all__ = [
    "DemoCredentialsError",
    "DownloadError",
    "EmbeddedError",
    "MissingToolError",
    "PartFailedError",
    "PortTakenError",
]


class EmbeddedError(MLGuardError):
    """The root: its text says what is wrong and what the operator does next."""


class MissingToolError(EmbeddedError):
    """A program that the stack needs is missing or too old."""


class DownloadError(EmbeddedError):
    """Maven or npm failed."""


class DemoCredentialsError(EmbeddedError):
    """Production with a demo's credential."""


class PortTakenError(EmbeddedError):
    """Another process listens where this part must listen."""


class PartFailedError(EmbeddedError):
    """A part of the stack did not start or has ended."""
