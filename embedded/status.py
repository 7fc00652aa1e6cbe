"""What runs, and what has crashed? The stack's parts as `ml-guard status` shows them, without any secret."""

from __future__ import annotations

from typing import Any

from embedded.database.launch import DATABASE, USER
from embedded.folder import Folder, is_running
from embedded.lifecycle import supervisor_of
from embedded.process import HOST
from embedded.settings import StackSettings


def read(settings: StackSettings | None = None) -> dict[str, Any]:
    """`ok` is true when every part runs."""
    folder = Folder((settings or StackSettings()).folder)
    state = folder.state()
    supervised = supervisor_of(folder) is not None
    parts = [_part(part, supervised) for part in state.get("parts", [])]
    return {
        "ok": supervised
        and state.get("phase") == "running"
        and all(part["state"] == "running" for part in parts),
        "phase": state["phase"]
        if supervised
        else "supervisor gone"
        if any(map(is_running, parts))
        else "not running",
        "folder": str(folder.root),
        "parts": parts,
    }


def _part(part: dict[str, Any], supervised: bool) -> dict[str, Any]:
    """A part as it is now: what was written down may have died with its supervisor."""
    state = part["state"]
    if state == "running" and not is_running(part):
        state = "crashed" if supervised else "not running"
    address = part["address"]
    if part["name"] == "database":
        address = f"postgresql://{USER}@{address or HOST}/{DATABASE}"
    return {**part, "state": state, "address": address}
