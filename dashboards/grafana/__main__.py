"""Writes the boards' JSON: `python -m dashboards.grafana`."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.grafana import fleet, health, model
from dashboards.grafana.parts import Board

FOLDER = Path(__file__).parent / "boards"
BOARDS: dict[str, Board] = {board.name: board for board in (fleet.BOARD, model.BOARD, health.BOARD)}


def text(board: Board) -> str:
    """The file of a board."""
    return json.dumps(board.json(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every board."""
    FOLDER.mkdir(exist_ok=True)
    for name, board in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(text(board), encoding="utf-8")


if __name__ == "__main__":
    main()
