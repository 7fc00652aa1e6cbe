"""What is there to send about a call of the host's code? Measured around it, without ever disturbing it."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec

from ml_guard.ingestion import Ingestion

Features = str | Callable[..., Mapping[str, Any]] | None
Result = Callable[[Any], Any] | None
Names = Mapping[str, str | None]

F = TypeVar("F", bound=Callable[..., Any])

_OUTCOMES = ("y_pred", "y_proba")


class Observation:
    """One call of a model under way. At the end of the block it is an event, unless the block raised."""

    def __init__(
        self,
        ingestion: Ingestion | None,
        names: Names,
        features: Mapping[str, Any] | None = None,
    ) -> None:
        self._ingestion = ingestion
        self._names = names
        self._started = time.perf_counter()
        self._discarded = False
        self.features: dict[str, Any] = dict(features or {})
        self.y_pred: Any = None
        self.y_proba: Any = None
        self.latency_ms: float | None = None
        """Measured, unless it is set."""

    def discard(self) -> None:
        """This was no inference."""
        self._discarded = True

    def __enter__(self) -> Observation:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish((time.perf_counter() - self._started) * 1e3)

    def finish(self, latency_ms: float, **names: str | None) -> None:
        """Send what was observed; later names win."""
        if self._discarded or self._ingestion is None:
            return
        self._ingestion.take(
            {
                **self._names,
                **names,
                "features": self.features,
                "y_pred": self.y_pred,
                "y_proba": self.y_proba,
                "latency_ms": latency_ms if self.latency_ms is None else self.latency_ms,
            }
        )


def decorator(ingestion: Ingestion, names: Names, features: Features, result: Result) -> Callable[[F], F]:
    """Makes a function whose calls that return are events."""

    def decorate(function: F) -> F:
        return cast("F", _monitored(function, ingestion, names, features, result))

    return decorate


def _monitored(
    function: Callable[..., Any], ingestion: Ingestion, names: Names, features: Features, result: Result
) -> Callable[..., Any]:
    describe = _Description(function, ingestion, names, features, result)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            answer = await function(*args, **kwargs)
            describe(args, kwargs, answer, (time.perf_counter() - started) * 1e3)
            return answer

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        answer = function(*args, **kwargs)
        describe(args, kwargs, answer, (time.perf_counter() - started) * 1e3)
        return answer

    return called


class _Description:
    """Turns a call and its answer into an event; whatever goes wrong is counted and warned of."""

    def __init__(
        self,
        function: Callable[..., Any],
        ingestion: Ingestion,
        names: Names,
        features: Features,
        result: Result,
    ) -> None:
        self._name = getattr(function, "__qualname__", type(function).__name__)
        self._signature = inspect.signature(function)
        self._ingestion = ingestion
        self._names = names
        self._features = features
        self._result = result

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], answer: Any, latency_ms: float
    ) -> None:
        try:
            found = self._features_of(args, kwargs)
            outcome = self._outcome(answer)
        except Exception as error:
            self._ingestion.refuse(
                f"monitor {self._name}",
                f"a call of {self._name} is not sent: its features= or result= failed ({type(error).__name__})",
                self._names.get("project_id"),
            )
            return
        self._ingestion.take({**self._names, "features": found, "latency_ms": latency_ms, **outcome})

    def _features_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        if callable(self._features):
            return self._features(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if self._features is not None:
            return _fields(bound.arguments[self._features]) or {}
        found: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if name in ("self", "cls"):
                continue
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                found.update({f"{name}_{i}": item for i, item in enumerate(value)})
                continue
            inner = _fields(value)
            found.update({name: value} if inner is None else inner)
        return found

    def _outcome(self, answer: Any) -> dict[str, Any]:
        if self._result is not None:
            answer = self._result(answer)
        inner = _fields(answer)
        if inner is None:
            return {"y_pred": answer}
        return {name: inner[name] for name in _OUTCOMES if name in inner}


def _fields(value: Any) -> Mapping[str, Any] | None:
    """What a mapping, a dataclass, or a model of pydantic or msgspec holds by name; None: it is a value itself."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    dump = getattr(type(value), "model_dump", None)
    return dump(value) if callable(dump) else None
