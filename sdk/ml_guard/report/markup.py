"""How is HTML written so that no name and no value can become markup?

Text is escaped when it becomes part of an element; only elements are taken as they are.
"""

from __future__ import annotations

import html
from typing import Any

from ml_guard.cli.wording import visible


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """A value as text.

    >>> text("<b>&")
    '&lt;b&gt;&amp;'
    """
    return value if isinstance(value, Markup) else Markup(html.escape(visible(str(value)), quote=True))


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element; children that are not markup are escaped, None is left out.

    >>> tag("p", "a < b", class_="x")
    '<p class="x">a &lt; b</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*parts: Any) -> Markup:
    """Parts one after the other."""
    return Markup("".join(text(part) for part in parts if part is not None))
