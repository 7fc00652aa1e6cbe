"""Would events arrive, and if not, why? What `client.check()` answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ml_guard.ingestion import Ingestion


class Step(msgspec.Struct, frozen=True):
    """One thing that was looked at; where it is not `ok`, `cure` says what to do."""

    name: str
    ok: bool
    seen: str
    cure: str = ""


class Check(msgspec.Struct, frozen=True):
    """What was looked at, in the order in which one rests on the other. True where events would arrive.

    >>> print(Check((Step("address", True, "answers"), Step("key", False, "is wrong (401)", "give api_key="))))
    ok      address: answers
    FAILED  key: is wrong (401); give api_key=
    >>> bool(Check((Step("address", True, "answers"),)))
    True
    """

    steps: Sequence[Step]

    @property
    def ok(self) -> bool:
        """Whether events would arrive."""
        return all(step.ok for step in self.steps)

    @property
    def problems(self) -> list[str]:
        """What is wrong, each with its cure."""
        return [_sentence(step) for step in self.steps if not step.ok]

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "\n".join(f"{'ok    ' if step.ok else 'FAILED'}  {_sentence(step)}" for step in self.steps)


def _sentence(step: Step) -> str:
    return f"{step.name}: {step.seen}" + (f"; {step.cure}" if step.cure and not step.ok else "")


def examine(ingestion: Ingestion | None, project_id: str | None, timeout_s: float) -> Check:
    """What a client's transport sees of its server."""
    if ingestion is None:
        return Check((Step("switch", False, "ML_GUARD_ENABLED=0 turns ingestion off", "unset it"),))
    steps = ingestion.transport.check(project_id, timeout_s)
    return Check(steps or (Step("transport", True, "sends to no server that could be asked"),))
