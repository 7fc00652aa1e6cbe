"""What would be sent? Logs it, by names, kinds and counts; no value of a host's data is ever in a log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ml_guard.event import Event
from ml_guard.stats import Count
from ml_guard.transports.base import Batch, Receipt, Transport

logger = logging.getLogger("ml_guard")

_KINDS = {bool: "boolean", float: "number", int: "number", str: "text", type(None): "missing"}
_decode = msgspec.json.Decoder(Event).decode


class DryRunTransport(Transport):
    """Takes every batch and sends none."""

    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        for line in described(batch):
            logger.info("ML Guard (dry run): %s", line)
        return Receipt()

    def report(self, client_id: str, counts: Sequence[Count], timeout_s: float) -> frozenset[str]:
        return frozenset()


def described(batch: Batch) -> list[str]:
    """A sentence for each model and endpoint of a batch.

    >>> raw = b'{"project_id":"p","model_id":"m","y_pred":1,"features":{"age":29,"country":"CA"}}'
    >>> described(Batch("b", "p", (raw, raw)))
    ['would send 2 events of p/m/predict: y_pred number; features age number, country text']
    """
    events: Counter[tuple[str, str]] = Counter()
    fields: dict[tuple[str, str], dict[str, set[str]]] = {}
    features: dict[tuple[str, str], dict[str, set[str]]] = {}
    for raw in batch.events:
        event = _read(raw)
        key = event.get("model_id", ""), event.get("endpoint", "predict")
        events[key] += 1
        for name in ("latency_ms", "y_pred", "y_proba"):
            if event.get(name) is not None:
                fields.setdefault(key, {}).setdefault(name, set()).add(_kind(event[name]))
        for name, value in event.get("features", {}).items():
            features.setdefault(key, {}).setdefault(name, set()).add(_kind(value))
    return [
        f"would send {count} events of {batch.project_id}/{model}/{endpoint}: "
        f"{_listed(fields.get((model, endpoint), {})) or 'no result'}; "
        f"features {_listed(features.get((model, endpoint), {})) or 'none'}"
        for (model, endpoint), count in events.items()
    ]


def _read(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(_decode(raw))
    except msgspec.DecodeError:  # an infinite number, which JSON itself has not
        import json

        decoded: dict[str, Any] = json.loads(raw)
        return decoded


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "unknown")


def _listed(kinds: dict[str, set[str]]) -> str:
    return ", ".join(f"{name} {' or '.join(sorted(found))}" for name, found in kinds.items())
