"""Which options choose the rows of a listing, and are their values what they should be?"""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from ml_guard.cli.failures import CommandError

Project = Annotated[str | None, typer.Option("--project", help="Only this project.")]
Model = Annotated[str | None, typer.Option("--model", help="Only this model.")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Only this endpoint.")]
Feature = Annotated[str | None, typer.Option("--feature", help="Only this feature.")]
OneDay = Annotated[str | None, typer.Option("--day", help="Only this day, YYYY-MM-DD.")]
From = Annotated[str | None, typer.Option("--from", help="From this day on, YYYY-MM-DD.")]
To = Annotated[str | None, typer.Option("--to", help="Up to this day, YYYY-MM-DD.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many rows, the newest days first.")]


def day(text: str, option: str) -> date:
    """A day as an option gives it.

    >>> day("2025-01-31", "--day")
    datetime.date(2025, 1, 31)
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text} is not a day", "Write it as 2025-01-31.") from None


def maybe_day(text: str | None, option: str) -> date | None:
    """A day, or none."""
    return None if text is None else day(text, option)
