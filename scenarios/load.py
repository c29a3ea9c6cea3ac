"""Scenario files: strict YAML in, every mistake at once, each with file, line, field and a suggestion.

A gateway configuration given by name is looked for beside the file, then in the suite; one found beside
the file is read into the scenario, so that a scenario once loaded stands on its own.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios import gateways
from scenarios.checks import all_checks
from scenarios.model.scenario import ChatTraffic, Scenario, schema
from scenarios.yamlish import Badly, Places, read
from scenarios.yamlish import Path as Keys

__all__ = ["BadScenario", "Loaded", "Problem", "find", "load", "load_text"]

_FILES_MAX = 10_000


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


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario and the file it came from. `name` is short and unique within one run."""

    name: str
    path: str
    scenario: Scenario


def find(paths: Iterable[Path]) -> list[Path]:
    """The scenario files among these files and folders, in order; `gateways/` folders hold none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in path.rglob("*.yaml") if "gateways" not in one.relative_to(path).parts)
            found += sorted(inside)
        elif path.is_file():
            found.append(path)
        else:
            raise BadScenario([Problem(str(path), 1, "", "no such file or folder")])
    if len(found) > _FILES_MAX:
        raise BadScenario([Problem(str(found[0].parent), 1, "", f"more than {_FILES_MAX} scenario files")])
    return found


def load(path: Path, *, name: str | None = None) -> Loaded:
    """The scenario of one file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as broken:
        raise BadScenario([Problem(str(path), 1, "", f"cannot be read: {broken}")]) from broken
    return Loaded(name or path.stem, str(path), load_text(text, source=str(path), folder=path.parent))


def load_text(text: str, *, source: str = "<text>", folder: Path | None = None) -> Scenario:
    """The scenario that a text describes; `folder` is where its gateway configuration may lie."""
    try:
        data, places = read(text)
    except Badly as broken:
        raise BadScenario([Problem(source, broken.line, "", broken.problem)]) from broken
    if not isinstance(data, dict):
        raise BadScenario([Problem(source, 1, "", "a scenario is a mapping that begins with about:")])
    problems: list[Problem] = []
    _read_config(data, folder, source, places, problems)
    try:
        scenario = Scenario.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as broken:
        problems += _explained(broken, data, places, source)
        raise BadScenario(sorted(problems, key=lambda one: one.line)) from broken
    problems += _unknown_checks(data, places, source)
    problems += _unmatched_billing(scenario, places, source)
    problems += _missing_sdks(scenario, places, source)
    if problems:
        raise BadScenario(problems)
    return scenario


def _read_config(
    data: dict[str, Any], folder: Path | None, source: str, places: Places, problems: list[Problem]
) -> None:
    """A configuration that lies beside the file goes into the data; a name that is nowhere is a problem."""
    gateway = data.get("gateway")
    name = gateway.get("config") if isinstance(gateway, dict) else None
    if not isinstance(gateway, dict) or not isinstance(name, str):
        return
    beside = folder / name if folder is not None else None
    if beside is not None and beside.is_file():
        try:
            gateway["config"], _ = read(beside.read_text(encoding="utf-8"))
        except Badly as broken:
            problems.append(Problem(str(beside), broken.line, "", broken.problem))
    elif name not in gateways.names():
        line = _line(places, ("gateway", "config"))
        near = _nearest(name, gateways.names())
        problems.append(Problem(source, line, "gateway.config", f"no gateway configuration {name!r}", near))


def _unknown_checks(data: dict[str, Any], places: Places, source: str) -> Iterator[Problem]:
    known = {one.name for one in all_checks()}
    for field in ("skip", "require"):
        for index, name in enumerate(data.get("judge", {}).get(field, ())):
            if name not in known:
                keys = ("judge", field, index)
                message = f"no check is called {name!r}"
                yield Problem(
                    source, _line(places, keys), ".".join(map(str, keys)), message, _nearest(name, known)
                )


def _unmatched_billing(scenario: Scenario, places: Places, source: str) -> Iterator[Problem]:
    """A remote billing service is there exactly where the gateway is told to use one."""
    try:
        billing = gateways.gateway_config(scenario).get("billing")
    except gateways.NoSuchGateway:
        return  # told already
    remote = isinstance(billing, dict) and billing.get("kind") == "remote"
    if remote and scenario.billing is None:
        line = _line(places, ("gateway", "config"))
        yield Problem(source, line, "billing", "the gateway bills remotely: give accounts their money here")
    if scenario.billing is not None and not remote:
        message = "the gateway's configuration does not bill remotely"
        yield Problem(source, _line(places, ("billing",)), "billing", message)


def _missing_sdks(scenario: Scenario, places: Places, source: str) -> Iterator[Problem]:
    """The vendors' SDKs are an extra: who has not installed them is told so, before anything runs."""
    for index, block in enumerate(scenario.traffic):
        if isinstance(block, ChatTraffic) and block.via != "plain" and find_spec(block.via) is None:
            message = f"the {block.via} SDK is not installed here: pip install 'refgate[sdks]'"
            keys = ("traffic", index, "via")
            yield Problem(source, _line(places, keys), ".".join(map(str, keys)), message)


def _explained(broken: ValidationError, data: Any, places: Places, source: str) -> list[Problem]:
    messages: dict[Keys, list[str]] = {}
    hints: dict[Keys, str | None] = {}
    for error in broken.errors(include_url=False, include_context=False, include_input=False):
        keys = _keys(error["loc"], data, error["type"])
        if error["type"] == "extra_forbidden":
            message = "no such field"
            hints[keys] = _nearest(str(keys[-1]), _fields_at(keys[:-1], data))
        elif error["type"] == "missing":
            message = "missing"
        else:
            message = error["msg"].removeprefix("Value error, ")
        said = messages.setdefault(keys, [])
        if message not in said:
            said.append(message)
    return [
        Problem(source, _line(places, keys), ".".join(map(str, keys)), " or ".join(said), hints.get(keys))
        for keys, said in messages.items()
    ]


def _keys(loc: tuple[str | int, ...], data: Any, kind: str) -> Keys:
    """The place in the file: what pydantic adds for the branches of a union is left out."""
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


def _line(places: Places, keys: Keys) -> int:
    """The line of the place, or of the nearest thing around it."""
    while keys and keys not in places:
        keys = keys[:-1]
    return places.get(keys, 1)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


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
    fixed = {name: field["const"] for name, field in node["properties"].items() if "const" in field}
    if any(name in data and data[name] != value for name, value in fixed.items()):
        return False
    # Of the kinds of fault, the one whose own word is there.
    kinds = {"crash", "stop", "store"} & set(node.get("required", ()))
    return not kinds or bool(kinds & set(data))
