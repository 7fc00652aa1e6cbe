"""What can go wrong with a baseline, and what does one do then?

CaptureError                the request cannot be fulfilled as it stands
  NoDaysError               no day was named
  UnknownModelError         the project has no such model and endpoint
  UnknownDaysError          the model had no events on some of the days
  OpenDaysError             some of the days have not closed, or are being restated (retriable)
  NothingToCaptureError     the days hold events without a single value
  UnknownVersionError       the model's endpoint has no such version
  CaptureRacedError         a day was restated while it was being captured (retriable)
  UngroupedDaysError        some of the days are of weekdays that no group names
  ThinGroupsError           some groups of weekdays have too few days or events for a baseline of their own
  DataSetError              a reference data set cannot be read, or has nothing in it
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date


class CaptureError(Exception):
    """The request cannot be fulfilled as it stands."""

    code = "capture_failed"
    retriable = False


class NoDaysError(CaptureError):
    """No day was named."""

    code = "no_days"

    def __init__(self) -> None:
        super().__init__("a baseline needs at least one closed day: name the days, e.g. 2025-01-01")


class UnknownModelError(CaptureError):
    """The project has no such model and endpoint."""

    code = "unknown_model"

    def __init__(self, project_id: str, model_id: str, endpoint: str) -> None:
        super().__init__(
            f"project {project_id!r} has had no event of model {model_id!r}, endpoint {endpoint!r}: "
            "look at the list of models for the right name"
        )


class UnknownDaysError(CaptureError):
    """The model had no events on some of the days."""

    code = "unknown_days"

    def __init__(self, model_id: str, endpoint: str, days: Sequence[date]) -> None:
        super().__init__(
            f"model {model_id!r}, endpoint {endpoint!r} has no events on {_listed(days)}: leave these days out"
        )
        self.days = tuple(days)


class OpenDaysError(CaptureError):
    """Some of the days have not closed, or are being restated."""

    code = "open_days"
    retriable = True

    def __init__(self, days: Sequence[date]) -> None:
        super().__init__(
            f"{_listed(days)}: not closed yet, or being restated after late events; a baseline takes closed days "
            "only: leave them out, or try again when they have closed"
        )
        self.days = tuple(days)


class NothingToCaptureError(CaptureError):
    """The days hold events without a single value."""

    code = "nothing_to_capture"

    def __init__(self, model_id: str, endpoint: str) -> None:
        super().__init__(
            f"the events of model {model_id!r}, endpoint {endpoint!r} on these days have neither features, "
            "latency nor predictions: choose other days"
        )


class UnknownVersionError(CaptureError):
    """The model's endpoint has no such version."""

    code = "unknown_baseline"

    def __init__(self, model_id: str, endpoint: str, version: int | None) -> None:
        wanted = "active baseline" if version is None else f"baseline version {version}"
        super().__init__(
            f"model {model_id!r}, endpoint {endpoint!r} has no {wanted}: look at the list of baselines"
        )


class CaptureRacedError(CaptureError):
    """A day was restated while it was being captured."""

    code = "capture_raced"
    retriable = True

    def __init__(self, days: Sequence[date]) -> None:
        super().__init__(
            f"late events restated {_listed(days)} while the baseline was being captured: try again"
        )
        self.days = tuple(days)


class UngroupedDaysError(CaptureError):
    """Some of the days are of weekdays that no group names."""

    code = "ungrouped_days"

    def __init__(self, days: Sequence[date]) -> None:
        super().__init__(
            f"no group of weekdays takes {_listed(days)}: leave these days out, or name their weekdays in a group"
        )
        self.days = tuple(days)


class ThinGroupsError(CaptureError):
    """Some groups of weekdays have too few days or events for a baseline of their own."""

    code = "thin_groups"

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(
            f"too little for a baseline by weekday: {'; '.join(reasons)}; take more days, or join weekdays in a group"
        )


class DataSetError(CaptureError):
    """A reference data set cannot be read, or has nothing in it."""

    code = "invalid_data_set"


def _listed(days: Sequence[date]) -> str:
    """Days for people; of many the first ten."""
    shown = ", ".join(day.isoformat() for day in days[:10])
    return shown if len(days) <= 10 else f"{shown} and {len(days) - 10} more days"
