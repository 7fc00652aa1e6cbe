"""What does a guard.yaml say, and on which line is it wrong?

project: shop
zone: America/Toronto
labels: hashed
features:
  - {feature: customer_number, ignore: true}
  - {model: churn_v1, feature: age, bins: 20, drift: 0.3}
policies:
  - {condition: drift, model: churn_v1, days: 2}
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_guard.cli.failures import CommandError

Place = tuple[str, str, str]
"""Model, endpoint, feature; each may be `*`."""


@dataclass(frozen=True)
class Entry:
    """An item of a list: where it holds, what it sets, and its lines."""

    line: int
    place: Place
    values: dict[str, Any]
    lines: dict[str, int]


@dataclass(frozen=True)
class Guard:
    """A whole file."""

    file: Path
    project_id: str
    zone: str | None = None
    labels: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    features: list[Entry] = field(default_factory=list)
    policies: list[Entry] = field(default_factory=list)


_NUMBER = (int, float)
_PLACE: dict[str, Any] = {"model": str, "endpoint": str, "feature": str}
_FEATURE: dict[str, Any] = {"kind": str, "bins": int, "warning": _NUMBER, "drift": _NUMBER, "ignore": bool}
_POLICY: dict[str, Any] = {
    "condition": str,
    "name": str,
    "threshold": _NUMBER,
    "days": int,
    "minutes": int,
    "percentile": _NUMBER,
    "local_time": str,
    "rise_percent": _NUMBER,
    "open_day": bool,
    "severity": str,
    "cooldown_minutes": int,
    "channels": list,
    "enabled": bool,
}
_LABELS = ("plain", "hashed")
_TOP: dict[str, Any] = {"project": str, "zone": str, "labels": str, "features": list, "policies": list}
_KINDS = {str: "text", int: "a whole number", _NUMBER: "a number", bool: "true or false", list: "a list"}


def read_guard(file: Path) -> Guard:
    """The file, checked. Raises `CommandError` with the line of what is wrong."""
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise CommandError("reading YAML needs PyYAML", "pip install 'ml-guard[cli]'") from None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _wrong(file, mark.line + 1 if mark else 1, getattr(error, "problem", "it is no YAML")) from None
    return _Reader(file, yaml).guard(root)


def _wrong(file: Path, line: int, problem: str) -> CommandError:
    return CommandError(f"{file}, line {line}: {problem}")


class _Reader:
    """Reads the nodes of one file."""

    def __init__(self, file: Path, yaml: Any) -> None:
        self._file, self._yaml = file, yaml

    def guard(self, root: Any) -> Guard:
        values, lines = self._mapping(root, _TOP, 1)
        if "project" not in values:
            raise _wrong(self._file, 1, "`project` is missing")
        if values.get("labels") not in (None, *_LABELS):
            raise _wrong(self._file, lines["labels"], f"`labels` must be {' or '.join(_LABELS)}")
        return Guard(
            self._file,
            values["project"],
            values.get("zone"),
            values.get("labels"),
            lines,
            self._entries(values.get("features"), _FEATURE, ()),
            self._entries(values.get("policies"), _POLICY, ("condition",)),
        )

    def _entries(self, nodes: Any, known: Mapping[str, Any], needed: tuple[str, ...]) -> list[Entry]:
        entries: list[Entry] = []
        for node in nodes or ():
            line = node.start_mark.line + 1
            values, lines = self._mapping(node, {**_PLACE, **known}, line)
            place = (values.pop("model", "*"), values.pop("endpoint", "*"), values.pop("feature", "*"))
            for wanted in needed:
                if wanted not in values:
                    raise _wrong(self._file, line, f"`{wanted}` is missing")
            if not values:
                raise _wrong(self._file, line, f"nothing is set; known are {', '.join(known)}")
            if "ignore" in values:
                values["ignored"], lines["ignored"] = values.pop("ignore"), lines.pop("ignore")
            name = values.get("name", values.get("condition"))
            if any(
                one.place == place and one.values.get("name", one.values.get("condition")) == name
                for one in entries
            ):
                raise _wrong(self._file, line, "the same place is set twice")
            entries.append(Entry(line, place, values, lines))
        return entries

    def _mapping(
        self, node: Any, known: Mapping[str, Any], line: int
    ) -> tuple[dict[str, Any], dict[str, int]]:
        if not isinstance(node, self._yaml.MappingNode):
            raise _wrong(self._file, line, f"keys and values are wanted: {', '.join(known)}")
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            at, key = key_node.start_mark.line + 1, str(key_node.value)
            if key not in known:
                raise _wrong(self._file, at, f"`{key}` is not known; known are {', '.join(known)}")
            if key in values:
                raise _wrong(self._file, at, f"`{key}` is named twice")
            values[key], lines[key] = self._value(key, value_node, known[key], at), at
        return values, lines

    def _value(self, key: str, node: Any, kind: Any, line: int) -> Any:
        if kind is list and isinstance(node, self._yaml.SequenceNode):
            return [one.value for one in node.value] if key == "channels" else node.value
        value = None
        if isinstance(node, self._yaml.ScalarNode):
            loader = self._yaml.SafeLoader("")
            value = loader.construct_object(node)
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not right:
            raise _wrong(self._file, line, f"`{key}` must be {_KINDS[kind]}")
        return value
