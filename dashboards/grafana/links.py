"""Where does a click lead? To the same in ML Guard's own dashboard, or to another board."""

from __future__ import annotations

from typing import Any


def link_out(title: str, page: str) -> dict[str, Any]:
    """A link at the top of a board to a page of ML Guard's dashboard."""
    return {
        "type": "link",
        "title": title,
        "url": outside(page),
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
        "icon": "external link",
        "tooltip": "The same in ML Guard's own dashboard",
    }


def outside(page: str) -> str:
    """The address of a page of ML Guard's dashboard."""
    return f"${{panel:raw}}/?page={page}"


def chosen(*names: str, prefix: str = "") -> str:
    """Variables of the board as a query string, each written as an address wants it."""
    return "".join(f"&{prefix}{name}=${{{name}:percentencode}}" for name in names)


def of_row(*names: str, prefix: str = "") -> str:
    """Columns of the table's row as a query string."""
    return "".join(f"&{prefix}{name}=${{__data.fields.{name}:percentencode}}" for name in names)


def board_of_model(choice: str) -> str:
    """The address of the model's board with its variables chosen."""
    return f"/d/ml-guard-model?${{__url_time_range}}{choice}"


def links(**titles: str) -> list[dict[str, Any]]:
    """A cell's links: titles with underscores for spaces, and where each leads."""
    return [
        {"title": title.replace("_", " "), "url": url, "targetBlank": "/d/" not in url}
        for title, url in titles.items()
    ]
