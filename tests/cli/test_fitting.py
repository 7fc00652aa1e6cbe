"""Does a table stay readable in a narrow terminal: no word in two pieces, nothing said twenty times?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.console import Console

from ml_guard.cli.fitting import Short
from ml_guard.cli.tables import table

KEY = ("shop", "churn_v1/predict", "2026-11-27")
MOVED = "> 36,320 +31.9, <= 13,247 -8.7 points"
ROWS = [
    (*KEY, "income", "0.999", "0.0034", "drift", "counters", MOVED),
    (*KEY, "customer_number", "0.017", "0.0196", "insufficient_data", "counters", ""),
]


def drawn(width: int, rows: Sequence[tuple[str, ...]]) -> str:
    made = table(
        "project", "model", "day", "feature", ">PSI", ">?E0", "verdict", "?by", "note?", "what moved"
    )
    for row in rows:
        made.add_row(*row[:8], "–", row[8])
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(made)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_what_all_rows_share_is_said_once_above_and_no_word_is_broken(width: int) -> None:
    out = drawn(width, ROWS)
    assert out.count("churn_v1/predict") == 1
    assert out.splitlines()[0].split() == [
        "project",
        "shop",
        "model",
        "churn_v1/predict",
        "day",
        "2026-11-27",
    ]
    assert "note?" not in out  # of which no row has anything
    for word in ("customer_number", "insufficient_data", "0.999", "income", "verdict", "36,320"):
        assert word in out.replace("\n", " ").split(), word


def test_columns_that_can_be_spared_go_only_where_there_is_no_room() -> None:
    assert ("counters" in drawn(120, ROWS), "0.0034" in drawn(120, ROWS)) == (True, True)
    assert ("counters" in drawn(66, ROWS), "0.0034" in drawn(66, ROWS)) == (False, False)
    assert "0.999" in drawn(66, ROWS)


def test_a_table_that_fits_is_as_it_was() -> None:
    out = drawn(200, ROWS)
    assert out.count("churn_v1/predict") == 2
    assert "note?" in out
    other = [ROWS[0], ("shop", "fraud/predict", *ROWS[1][2:])]
    assert "model" in drawn(90, other).splitlines()[2].split()  # which is not the same in all rows


@pytest.mark.parametrize(
    ("width", "text"),
    [(40, "24  30  36  42  49  55"), (18, "24  30  36  …  55"), (11, "24  …  55"), (3, "24  …")],
)
def test_a_list_is_shortened_in_its_middle(width: int, text: str) -> None:
    console = Console(width=60)
    made = Short(["24", "30", "36", "42", "49", "55"])
    (shown,) = made.__rich_console__(console, console.options.update(width=width))
    assert str(shown) == text
