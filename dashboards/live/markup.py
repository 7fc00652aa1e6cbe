"""How does text become HTML? Templates that escape everything, and a component that patches what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import param
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup as Safe
from panel.custom import JSComponent

from dashboards.live import conditions, hours, reference, words
from ml_guard.cli.wording import visible

HERE = Path(__file__).parent
CSS = (HERE / "static" / "app.css").read_text(encoding="utf-8")
SCRIPT = (HERE / "static" / "page.js").read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """What stands in a page for a value; text that a form gives back is marked by the filter `e` and stays."""
    return visible(value) if type(value) is str else value


_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(words.for_templates())
_environment.globals.update(reference.for_templates())
_environment.globals.update(conditions.for_templates())
_environment.globals.update(hours.for_templates())


def rendered(template: str, **values: Any) -> str:
    """A part of a page."""
    return _environment.get_template(template).render(**values)


def document(template: str, **values: Any) -> str:
    """A whole page that stands without Panel."""
    return rendered(template, css=Safe(CSS), script=Safe(SCRIPT), **values)  # noqa: S704 - our own files


class Part(JSComponent):  # type: ignore[misc]
    """A piece of HTML. A new `html` changes only the nodes that differ, so focus, scrolling and selection stay."""

    html = param.String(default="")

    _esm = HERE / "static" / "part.js"

    def __init__(self, act: Callable[[str, Mapping[str, Any]], None] | None = None, **params: Any) -> None:
        params.setdefault("sizing_mode", "stretch_width")
        params.setdefault("margin", 0)
        super().__init__(stylesheets=[CSS], **params)
        self._act = act

    def show(self, template: str, **values: Any) -> None:
        """Paint it anew from a template."""
        text = rendered(template, **values)
        if text != self.html:
            self.html = text

    def _handle_msg(self, data: Any) -> None:
        if self._act is not None and isinstance(data, dict) and isinstance(data.get("action"), str):
            fields = data.get("fields")
            self._act(data["action"], fields if isinstance(fields, dict) else {})
