"""A server that gives the answers it is told to give, and a way to type commands at it."""

from tests.cli.conftest import api, typed

__all__ = ["api", "typed"]
