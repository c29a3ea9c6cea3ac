"""YAML as people mean it: `on` and `no` are words, a key stands once, every value knows its line.

The YAML 1.2 core rules for plain scalars (true, false, null, numbers), no tags, no anchors' surprises:
aliases are refused. `read` gives plain values and where each one stood; `write` prints in the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.reader import ReaderError

__all__ = ["Badly", "Path", "Places", "read", "write"]

Path = tuple[str | int, ...]
Places = Mapping[Path, int]
"""The line (from 1) of each value, by its path; for an entry of a mapping, the line of its key."""

_DEPTH_MAX = 40


class Badly(Exception):
    """The text is no YAML of this kind. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  # how PyYAML is told its rules: by a class attribute

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.depth > _DEPTH_MAX:
            # Here and not afterwards: what is nested a thousand deep would never be composed.
            raise Badly(self.get_mark().line + 1, f"nested deeper than {_DEPTH_MAX}")
        if self.check_event(yaml.AliasEvent):
            line = self.get_mark().line + 1
            raise Badly(line, "aliases (*name) are not used here: write it out")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Block style with indented lists, and no aliases: a file is read by people."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  # how PyYAML is told its rules: by a class attribute

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _rules in (_Loader, _Dumper):
    for _tag, _pattern, _first in (
        ("bool", r"true|false", "tf"),
        ("null", r"null|~|", ["n", "~", ""]),
        ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
        ("float", r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-+0123456789"),
    ):
        _rules.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
        )


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def read(text: str) -> tuple[Any, Places]:
    """The value of a one-document text and the line of everything in it."""
    try:
        loader = _Loader(text)
    except ReaderError as broken:
        line = text.count("\n", 0, broken.position) + 1
        raise Badly(line, f"the character {broken.character:#x} is not allowed in YAML") from broken
    try:
        node = loader.get_single_node()
        places: dict[Path, int] = {(): 1}
        return (None if node is None else _value(loader, node, (), places)), places
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        line = mark.line + 1 if mark else 1
        raise Badly(line, f"not YAML: {broken.problem or broken.context or 'unreadable'}") from broken
    except yaml.YAMLError as broken:
        raise Badly(1, f"not YAML: {broken}") from broken
    finally:
        loader.dispose()


def write(value: Any) -> str:
    """The value as text that `read` gives back equal. Mapping order is kept; short leaves lie on one line."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )


def _value(loader: _Loader, node: yaml.Node, path: Path, places: dict[Path, int]) -> Any:
    places.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if isinstance(key, int) and not isinstance(key, bool):
                key = str(key)
            if not isinstance(key, str):
                raise Badly(line, "a key is a word")
            if key in found:
                raise Badly(line, f"{key} stands twice in one mapping")
            places[(*path, key)] = line
            found[key] = _value(loader, value_node, (*path, key), places)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, index), places) for index, item in enumerate(node.value)]
    return loader.construct_object(node)
