"""ML Guard's SDK: monitoring for ML inference.

    from ml_guard import MLGuardClient

    client = MLGuardClient(base_url="http://localhost:8000", api_key="demo-key")
    client.ingest_event(project_id="proj_123", model_id="churn_model_v1", latency_ms=42, y_pred=1,
                        y_proba=0.81, features={"age": 29, "country": "CA"})

The client is loaded when it is first used, so that who needs only the event contract does not load httpx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_guard.checking import Check
    from ml_guard.client import AsyncMLGuardClient, MLGuardClient
    from ml_guard.errors import ConfigError, EventError, IncompleteBatchError, MLGuardError, TransportError
    from ml_guard.frames import FrameReceipt
    from ml_guard.stats import Stats

__all__ = [
    "AsyncMLGuardClient",
    "Check",
    "ConfigError",
    "EventError",
    "FrameReceipt",
    "IncompleteBatchError",
    "MLGuardClient",
    "MLGuardError",
    "Stats",
    "TransportError",
]

_HOMES = {
    "AsyncMLGuardClient": "ml_guard.client",
    "MLGuardClient": "ml_guard.client",
    "Check": "ml_guard.checking",
    "ConfigError": "ml_guard.errors",
    "EventError": "ml_guard.errors",
    "FrameReceipt": "ml_guard.frames",
    "IncompleteBatchError": "ml_guard.errors",
    "MLGuardError": "ml_guard.errors",
    "TransportError": "ml_guard.errors",
    "Stats": "ml_guard.stats",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ml_guard' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
