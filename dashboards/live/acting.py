"""How does a page change something? Buttons call the API, and what came of it is said on the page."""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import panel as pn

from dashboards.live.view import Page
from ml_guard.errors import ForbiddenError, MLGuardError

LONGEST_S = 30

Fields = Mapping[str, Any]
Said = tuple[str, str]
"""A tone, and a sentence."""


class ActingPage(Page):
    """A page with buttons. `said` is what the last one came to, for the templates."""

    said: Said | None = None
    _last: Any = None

    @abstractmethod
    async def done(self, action: str, fields: Fields) -> Said | None:
        """Do it, and say what came of it."""

    def paint(self, data: Any) -> None:
        self._last = data
        self.draw(data)

    @abstractmethod
    def draw(self, data: Any) -> None:
        """Put what was read, and what was said, into the parts."""

    def act(self, action: str, fields: Fields) -> None:
        """What a part calls when a button is pressed."""
        pn.state.execute(partial(self._do, action, fields))

    async def _do(self, action: str, fields: Fields) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                self.said = await self.done(action, fields)
        except TimeoutError:
            self.said = ("bad", "The API took too long; look at what this page shows before you try again.")
        except ForbiddenError as error:
            self.said = ("bad", f"Your key “{self.visitor.key.name}” may not do this. {plainly(error)}")
        except (MLGuardError, ValueError) as error:
            self.said = ("bad", plainly(error))
        self.source.forget()
        try:
            self.paint(await self.read())
        except MLGuardError:
            if self._last is not None:
                self.draw(self._last)


def text_of(fields: Fields, name: str) -> str:
    """The text of a form's field, without what surrounds it."""
    values = fields.get(name) or [""]
    return str(values[0]).strip()


def plainly(error: Exception) -> str:
    """What the server says, without the request: on a page there is none to look at.

    >>> plainly(ValueError("PUT /api/v1/alert-policies was answered 422: `days`: at most 14"))
    '`days`: at most 14'
    """
    return re.sub(r"^[A-Z]+ \S+ was answered \d+: ", "", str(error))
