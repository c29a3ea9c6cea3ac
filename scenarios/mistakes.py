"""What is wrong with a file, in words: the place in the file, the field, and what was probably meant.

Turns what pydantic says of the models into the words of somebody who writes YAML. Knows the schema of
scenarios, and nothing of what would come of one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scenarios.model.scenario import PLACED, schema
from scenarios.yamlish import Path as Keys
from scenarios.yamlish import Places

__all__ = ["BadScenario", "Problem", "at_keys", "explained", "nearest"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file. `field` is the path to it, as it is written in the file."""

    source: str
    line: int
    field: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{self.source}:{self.line}: {field}{self.message}{hint}"


class BadScenario(Exception):
    """A file that is no scenario. `problems` names every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[BadScenario], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def at_keys(source: str, places: Places, keys: Keys, message: str, suggestion: str | None = None) -> Problem:
    """A mistake at a place in the file, or in the nearest thing around it that is written there."""
    around = keys
    while around and around not in places:
        around = around[:-1]
    return Problem(source, places.get(around, 1), ".".join(map(str, keys)), message, suggestion)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like this one, where any does."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def explained(broken: ValidationError, data: Any, places: Places, source: str) -> list[Problem]:
    """Every mistake that the models found, one for each place."""
    messages: dict[Keys, list[str]] = {}
    hints: dict[Keys, str | None] = {}
    for error in broken.errors(include_url=False, include_input=False):
        keys = _keys(error["loc"], data, error["type"])
        for place, message, hint in _told(error, keys, data):
            said = messages.setdefault(place, [])
            if message not in said:
                said.append(message)
            hints.setdefault(place, hint)
    return [at_keys(source, places, keys, " or ".join(said), hints[keys]) for keys, said in messages.items()]


_MEANT = {
    "dict_type": "a mapping is meant",
    "model_attributes_type": "a mapping is meant",
    "model_type": "a mapping is meant",
    "tuple_type": "a list is meant, as [one, other]",
}
"""What pydantic says in the words of Python."""


def _told(error: ErrorDetails, keys: Keys, data: Any) -> Iterator[tuple[Keys, str, str | None]]:
    """Where it is, what is wrong, and what was probably meant."""
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            known = _fields_at(keys[:-1], data)
            if keys[-1] in known:
                yield keys, "does not go with the other fields here", None
            else:
                yield keys, "no such field", nearest(str(keys[-1]), known)
        case "missing":
            yield keys, "missing", None
        case "union_tag_not_found":
            yield (*keys, context["discriminator"].strip("'")), "missing", None
        case "union_tag_invalid":
            tags = [tag.strip("'") for tag in context["expected_tags"].split(", ")]
            message = f"{context['tag']!r} is none of {', '.join(tags)}"
            yield (*keys, context["discriminator"].strip("'")), message, nearest(context["tag"], tags)
        case kind:
            yield keys, _MEANT.get(kind, error["msg"].removeprefix("Value error, ")), context.get("meant")


def _keys(loc: tuple[str | int, ...], data: Any, kind: str) -> Keys:
    """The place in the file: what pydantic adds for the branches of a union is left out."""
    if kind == PLACED:
        return loc
    keys: list[str | int] = []
    here = data
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if index == 2 and loc[0] in ("traffic", "faults"):
            continue  # The kind, which pydantic puts after the index.
        inside = isinstance(here, dict) and part in here
        inside = inside or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        if inside:
            here = here[part]
        elif not (last and kind == "missing"):
            continue
        keys.append(part)
    return tuple(keys)


@lru_cache(maxsize=1)
def _schema_text() -> str:
    return json.dumps(schema())


def _fields_at(keys: Keys, data: Any) -> set[str]:
    """The fields that the schema knows at a place, in the branch of each union that the data chose."""
    root = json.loads(_schema_text())
    nodes, here = _branches(root, root, data), data
    for key in keys:
        here = here[key]
        nexts: list[Mapping[str, Any]] = []
        for node in nodes:
            if isinstance(key, int):
                inner = node.get("items")
            else:
                inner = node.get("properties", {}).get(key) or _any_key(node)
            if isinstance(inner, Mapping):
                nexts += _branches(root, inner, here)
        nodes = nexts
    return {field for node in nodes for field in node.get("properties", {})}


def _any_key(node: Mapping[str, Any]) -> Any:
    """What the schema says of the values of a mapping with free keys."""
    return next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties"))


def _branches(root: Mapping[str, Any], node: Mapping[str, Any], data: Any) -> list[Mapping[str, Any]]:
    if "$ref" in node:
        return _branches(root, root["$defs"][node["$ref"].rsplit("/", 1)[-1]], data)
    choices = node.get("oneOf", node.get("anyOf"))
    if choices is None:
        return [node]
    return [one for choice in choices for one in _branches(root, choice, data) if _may_be(one, data)]


def _may_be(node: Mapping[str, Any], data: Any) -> bool:
    if not isinstance(data, dict) or "properties" not in node:
        return True
    for name, field in node["properties"].items():
        only = [field["const"]] if "const" in field else field.get("enum") if name == "wire" else None
        if only is not None and name in data and data[name] not in only:
            return False
    # Of the kinds of fault, the one whose own word is there.
    kinds = {"crash", "stop", "store"} & set(node.get("required", ()))
    return not kinds or bool(kinds & set(data))
