"""How is text counted? As labels; long ones in a short form that is theirs alone, and hashed where a project says so."""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Iterable

from pydantic import SecretStr

from ml_guard.event import MAX_NAME, short_label

HASHED = re.compile("#[0-9a-f]{16}")
_DIGITS = 16
"""64 bits: among 12,288 labels of a feature two are alike once in 200 billion projects."""

_REMEMBERED = 1_000
"""Labels of a project whose hashes are kept: most features have few, and a hash costs microseconds."""


class LabelHash:
    """What takes the place of a project's labels: HMAC-SHA256 under a key of the project, cut to 16 digits.

    The project's key is derived from a secret that only the settings hold, so whoever has the database alone can try
    no names. `key_id` tells one key from another and says nothing of it.

    >>> hide = LabelHash("a secret of some length", "shop")
    >>> hide("CA"), hide("CA") == hide("CA"), hide("CA") == LabelHash("another secret, as long", "shop")("CA")
    ('#0505bf7db3eadd7d', True, False)
    """

    __slots__ = ("_key", "_known", "key_id")

    def __init__(self, secret: str, project_id: str) -> None:
        self._key = hmac.digest(secret.encode(), b"labels of " + project_id.encode(), "sha256")
        self.key_id = hmac.digest(self._key, b"\0which key", "sha256").hex()[:_DIGITS]
        self._known: dict[str, str] = {}

    def __call__(self, label: str) -> str:
        """The hash of a label."""
        found = self._known.get(label)
        if found is None:
            digest = hmac.digest(self._key, label.encode("utf-8", "surrogatepass"), "sha256")
            found = "#" + digest.hex()[:_DIGITS]
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[label] = found
        return found


def label_hash(secret: SecretStr | None, project_id: str) -> LabelHash | None:
    """The project's hash, if the settings have a secret."""
    return None if secret is None else LabelHash(secret.get_secret_value(), project_id)


def labels_of(texts: Iterable[str], hide: LabelHash | None = None) -> Counter[str]:
    """How often each label comes.

    >>> labels_of(["CA", "US", "CA"])["CA"]
    2
    """
    return shortened(texts, hide)[0]


def shortened(texts: Iterable[str], hide: LabelHash | None = None) -> tuple[Counter[str], int]:
    """How often each label comes, and how many of the texts were too long to be their own label."""
    found = Counter(texts)
    strange = [label for label in found if len(label) > MAX_NAME or "\0" in label]
    values = 0
    for label in strange:
        times = found.pop(label)
        found[short_label(label)] += times
        values += times
    return (
        found if hide is None else Counter({hide(label): count for label, count in found.items()})
    ), values
