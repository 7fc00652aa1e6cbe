"""Has this server the key that a project's labels are hashed with?"""

from __future__ import annotations

from api.problems import Problem
from api.services import Services
from stream.labels import LabelHash, label_hash


def hash_of(services: Services, project_id: str, key_id: str | None = None) -> LabelHash:
    """What takes the place of the project's labels; `key_id`: under which key it has been so far."""
    hide = label_hash(services.settings.label_key, project_id)
    if hide is None:
        raise Problem(
            "conflict",
            "Labels are hashed under a secret that this server has not: set ML_GUARD_LABEL_KEY for the API and for "
            "every worker, and start them again.",
        )
    if key_id not in (None, hide.key_id):
        raise Problem(
            "conflict",
            f"The labels of {project_id!r} are hashed under another secret than this server's: set ML_GUARD_LABEL_KEY "
            "to what it was.",
        )
    return hide
