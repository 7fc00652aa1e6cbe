"""Where may a test kill or freeze this process or let its code fail, so that the worst is tried and not waited for?

`ML_GUARD_FAILPOINT=after_database_commit` kills the process (SIGKILL, nothing is cleaned up) at the first passing of
that point; `after_database_commit:3` at the third; `after_database_commit:1:freeze` stops it there (SIGSTOP) until
somebody lets it go on. `folding:MODEL` is a bug: whenever events of that model are folded our own code raises;
`encoding:MODEL` whenever what was counted of them is made into rows. `losing` loses the first batch that arrives, `losing:3`
the third. Outside production only.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ML_GUARD_FAILPOINT"
POINTS = frozenset(
    {
        "after_fold",
        "before_dead_letters",
        "after_dead_letters",
        "after_fence",
        "before_database_commit",
        "after_database_commit",
        "after_kafka_commit",
        "after_claim",
    }
)


FAULTS = frozenset({"folding", "encoding"})
LOSING = "losing"
ALL = POINTS | FAULTS | {LOSING}


class FailpointError(Exception):
    """The bug that was asked for."""


class Failpoints:
    """The point that is set, if any."""

    def __init__(self, setting: str = "", *, production: bool = False) -> None:
        name, passes, how = [*setting.split(":"), "", ""][:3]
        if name and name not in ALL:
            raise ValueError(
                f"{VARIABLE}={setting}: there is no such point; there are {', '.join(sorted(ALL))}"
            )
        self._name = "" if production else name
        self._model = passes if name in FAULTS else ""
        self._left = 0 if name in FAULTS else int(passes or 1)
        self._signal = signal.SIGSTOP if how == "freeze" else signal.SIGKILL

    @classmethod
    def from_environment(cls, *, production: bool) -> Failpoints:
        """As the environment says."""
        return cls(os.environ.get(VARIABLE, ""), production=production)

    def passing(self, point: str) -> None:
        """Die or freeze here if it is set."""
        if point != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)

    def losing(self) -> bool:
        """Whether what arrives here is to be lost."""
        if self._name != LOSING:
            return False
        self._left -= 1
        return self._left == 0

    def failing(self, fault: str, model: str) -> None:
        """Raise `FailpointError` here if it is set for this model."""
        if fault == self._name and model == self._model:
            raise FailpointError(f"{fault} of {model}")
