"""Where may a test kill or freeze this process, so that the worst moments are tried and not waited for?

`ML_GUARD_FAILPOINT=after_database_commit` kills the process (SIGKILL, nothing is cleaned up) at the first passing of
that point; `after_database_commit:3` at the third; `after_database_commit:1:freeze` stops it there (SIGSTOP) until
somebody lets it go on. Outside production only.
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


class Failpoints:
    """The point that is set, if any."""

    def __init__(self, setting: str = "", *, production: bool = False) -> None:
        name, passes, how = [*setting.split(":"), "", ""][:3]
        if name and name not in POINTS:
            raise ValueError(
                f"{VARIABLE}={setting}: there is no such point; there are {', '.join(sorted(POINTS))}"
            )
        self._name = "" if production else name
        self._left = int(passes or 1)
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
