"""How long do outages last? Scaled down, unless `make chaos LONG=1` asks for their true lengths."""

from __future__ import annotations

import os

LONG = bool(os.environ.get("ML_GUARD_CHAOS_LONG"))


def lasting(short: float, long: float) -> float:
    """Seconds, or rounds."""
    return long if LONG else short
