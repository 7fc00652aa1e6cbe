"""Which colours do charts have, in the light and in the dark?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """The colours of a chart; those of the pages stand in static/app.css under the same names."""

    name: str
    ink: str
    quiet: str
    line: str
    panel: str
    accent: str
    second: str
    third: str
    area: str
    good: str
    warn: str
    bad: str


LIGHT = Scheme(
    name="light",
    ink="#1c2430",
    quiet="#667085",
    line="#e6e9ef",
    panel="#ffffff",
    accent="#2f5bd8",
    second="#7c5cd6",
    third="#c2410c",
    area="#c9d5f7",
    good="#1f7a4d",
    warn="#a15c00",
    bad="#c0262d",
)
DARK = Scheme(
    name="dark",
    ink="#e7eaf0",
    quiet="#98a2b3",
    line="#2a3140",
    panel="#171b24",
    accent="#7ea2ff",
    second="#b79cff",
    third="#ff9d6b",
    area="#2c3f75",
    good="#5fd39a",
    warn="#f0b429",
    bad="#ff7b7f",
)


def scheme_of(name: str | None) -> Scheme:
    """The scheme that a cookie names."""
    return DARK if name == "dark" else LIGHT
