"""Gemini's own form of a schema (types in capitals, `nullable`, either spelling) → JSON Schema.

Nothing is lost: an order of properties becomes their order, an example the first of `examples`. What JSON
Schema has no word for is refused by its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgate.dialects.canonical import Document, Malformed, Untranslatable
from refgate.dialects.gemini.calling import snake

__all__ = ["json_schema"]

_KINDS = ("string", "number", "integer", "boolean", "array", "object", "null")
_PLAIN = ("title", "description", "format", "pattern", "default", "minimum", "maximum")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_KNOWN = (
    *_PLAIN,
    *_COUNTS,
    "type",
    "nullable",
    "enum",
    "items",
    "anyOf",
    "properties",
    "required",
    "propertyOrdering",
    "additionalProperties",
    "example",
    "defs",
    "ref",
)
_CAMEL = {snake(name): name for name in _KNOWN}
_DEPTH_MAX = 64


def json_schema(schema: Any, where: str, *, depth: int = 0) -> Document:
    """The same as JSON Schema. Raises Malformed, or Untranslatable for what it cannot say."""
    given = _members(schema, where)
    if depth > _DEPTH_MAX:
        raise Malformed(where, "is nested too deeply")

    def inner(one: Any, name: str) -> Document:
        return json_schema(one, f"{where}.{name}", depth=depth + 1)

    made: dict[str, Any] = {}
    kind = _kind(given, where)
    if kind is not None:
        made["type"] = kind
    made |= {name: given[name] for name in _PLAIN if name in given}
    made |= {name: _count(given[name], f"{where}.{name}") for name in _COUNTS if name in given}
    if "enum" in given:
        made["enum"] = list(_list(given["enum"], f"{where}.enum"))
    if "items" in given:
        made["items"] = inner(given["items"], "items")
    if "anyOf" in given:
        made["anyOf"] = [inner(one, f"anyOf[{i}]") for i, one in enumerate(_list(given["anyOf"], where))]
    if "properties" in given:
        made["properties"] = _properties(given, where, inner)
    if "required" in given:
        made["required"] = _list(given["required"], f"{where}.required")
    if "additionalProperties" in given:
        extra = given["additionalProperties"]
        made["additionalProperties"] = (
            extra if isinstance(extra, bool) else inner(extra, "additionalProperties")
        )
    if "example" in given:
        made["examples"] = [given["example"]]
    if "defs" in given:
        named = _map(given["defs"], f"{where}.defs")
        made["$defs"] = {name: inner(one, f"defs.{name}") for name, one in named.items()}
    if "ref" in given:
        made["$ref"] = given["ref"]
    return _nullable(made) if given.get("nullable") is True else made


def _members(schema: Any, where: str) -> dict[str, Any]:
    """What the schema says, by camelCase names, null being absent."""
    given: dict[str, Any] = {}
    for name, value in _map(schema, where).items():
        known = _CAMEL.get(name.removeprefix("$"), name.removeprefix("$"))
        if value is None:
            continue
        if known not in _KNOWN:
            raise Untranslatable(f"{where}.{name}", "is unknown in a schema of this form")
        if known in given:
            raise Malformed(f"{where}.{name}", "stands twice")
        given[known] = value
    return given


def _kind(given: dict[str, Any], where: str) -> str | None:
    word = given.get("type")
    if word is None or word == "TYPE_UNSPECIFIED":
        return None
    if not isinstance(word, str) or word.lower() not in _KINDS:
        raise Malformed(f"{where}.type", f"must be one of: {', '.join(_KINDS)}")
    return word.lower()


def _properties(
    given: dict[str, Any], where: str, inner: Callable[[Any, str], Document]
) -> dict[str, Document]:
    named = _map(given["properties"], f"{where}.properties")
    order = _list(given.get("propertyOrdering", []), f"{where}.propertyOrdering")
    first = [name for name in order if isinstance(name, str) and name in named]
    names = dict.fromkeys([*first, *named])
    return {name: inner(named[name], f"properties.{name}") for name in names}


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    if "type" in made:
        made["type"] = [made["type"], "null"]
    elif "anyOf" in made:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return made


def _count(value: Any, where: str) -> int:
    """The protocol writes its longest whole numbers as strings."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= 18:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(where, "must be a whole number")
    return value


def _map(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(where, "must be an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(where, "must be a list")
    return value
