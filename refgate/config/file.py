"""A YAML file as plain values, and where each of them stands in it.

Stricter than YAML: a key twice, an anchor or a tag is an error, so that what a reader sees is what is
read. Decimal numbers come out as `Decimal`, exactly as written. Knows nothing of what the values mean.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ConfigError", "Located", "Place", "Problem", "nearest", "read_yaml"]

Place = tuple[str | int, ...]

_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 32
_KINDS = frozenset({"str", "int", "float", "bool", "null", "map", "seq"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, in which field, and what to do about it."""

    source: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class ConfigError(ValueError):
    """The configuration cannot be used. Its text names every problem, one a line, and no secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Located:
    """Plain values and the line (from 1) of each place in them."""

    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int | None:
        """The line of this place, or of the nearest one around it that is written down."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the known words is close, else nothing."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def read_yaml(path: Path) -> Located:
    """Reads one YAML document. Raises ConfigError."""
    source = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(source, None, "", f"cannot be read: {error.strerror}")]) from None
    if len(data) > _BYTES_MAX:
        raise ConfigError([Problem(source, None, "", f"is larger than {_BYTES_MAX} bytes")])
    try:
        node = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise ConfigError([Problem(source, line, "", f"is not YAML: {error.problem}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError([Problem(source, None, "", "is not YAML text")]) from None
    reading = _Reading(source)
    value = None if node is None else reading.value(node, ())
    return Located(value, reading.lines)


class _Reading:
    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Place, int] = {}
        self._scalars = yaml.SafeLoader("")
        self._met: set[int] = set()

    def value(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self._met:
            raise self._wrong(node, place, "anchors are not used here: write the value out")
        if len(place) > _DEPTH_MAX:
            raise self._wrong(node, place, "is nested too deeply")
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in _KINDS:
            raise self._wrong(node, place, f"{kind} is no kind of value here: text is quoted")
        self._met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:str":
                raise self._wrong(key_node, place, f"the key {key_node.value!r} must be quoted text")
            key = key_node.value
            if key in values:
                raise self._wrong(key_node, (*place, key), "is given twice")
            self.lines[(*place, key)] = key_node.start_mark.line + 1
            values[key] = self.value(value_node, (*place, key))
        return values

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        if node.tag == "tag:yaml.org,2002:float":
            try:
                return Decimal(node.value.replace("_", ""))
            except ArithmeticError:
                raise self._wrong(node, place, f"{node.value!r} is not a number that is used here") from None
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            raise self._wrong(node, place, f"{node.value!r} cannot be read") from None

    def _wrong(self, node: yaml.Node, place: Place, message: str) -> ConfigError:
        field = ".".join(map(str, place))
        return ConfigError([Problem(self.source, node.start_mark.line + 1, field, message)])
