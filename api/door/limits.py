"""Does this one send more than it may? Buckets of events a key, of requests a key, of wrong keys an address."""

from __future__ import annotations

from api.problems import Problem
from ml_guard.service_limits import Buckets


class RateLimit(Buckets):
    """Buckets whose limit has a name, which the answer tells."""

    def check(self, key_id: str, limit: str, detail: str) -> None:
        """Raise `rate_limited` if the key has to wait; `limit` is the setting's name, which the answer has too."""
        wait_s = self.wait_s(key_id)
        if wait_s > 0:
            raise Problem("rate_limited", detail, retry_after_s=wait_s, limit=limit)
