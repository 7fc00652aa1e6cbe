"""How is text counted? As labels; long ones in a short form that is theirs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ml_guard.event import MAX_NAME, short_label


def labels_of(texts: Iterable[str]) -> Counter[str]:
    """How often each label comes.

    >>> labels_of(["CA", "US", "CA"])["CA"]
    2
    """
    found = Counter(texts)
    strange = [label for label in found if len(label) > MAX_NAME or "\0" in label]
    for label in strange:
        found[short_label(label)] += found.pop(label)
    return found
