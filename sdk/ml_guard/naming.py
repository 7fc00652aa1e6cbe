"""Which id does a piece of a batch have, so that a retry of the batch has the same pieces?"""

from __future__ import annotations

import hashlib

MAX_BATCH_ID = 200
"""Characters of an `Idempotency-Key`."""


def wire_id(batch_id: str) -> str:
    """A batch id as HTTP's header can carry it: itself, or a stable form of it in printable ASCII.

    >>> wire_id("scoring/2026-11-24"), wire_id("prévision du 24")
    ('scoring/2026-11-24', 'pr?vision?du?24~6dd39a39944c6a78')
    """
    if len(batch_id) <= MAX_BATCH_ID and all("!" <= character <= "~" for character in batch_id):
        return batch_id
    digest = hashlib.sha256(batch_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = "".join(c if "!" <= c <= "~" else "?" for c in batch_id[: MAX_BATCH_ID - 17])
    return f"{readable}~{digest}"


def part_id(batch_id: str, part: int | str) -> str:
    """The id of one part of a batch.

    >>> part_id("nightly-2026-11-24", 3)
    'nightly-2026-11-24/3'
    """
    return wire_id(f"{batch_id}/{part}")
