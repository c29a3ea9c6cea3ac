"""The reference pages, made from the models: what a scenario file may say, and every act.

`python -m scenarios.pages` writes `docs/scenario-files.md` and `docs/acts.md` (`make docs`); a test
compares them with the code. The words are the models' own docstrings.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from fakes.acts import BillingDo, ProviderDo
from fakes.play import Play
from scenarios.model import schema

__all__ = ["PAGES", "acts_page", "scenario_page", "write"]

_DO = (ProviderDo.__name__, BillingDo.__name__)
_DOCS = Path(__file__).parent.parent / "docs"

_SCENARIO_HEAD = """\
# Scenario files

YAML, strict: a field that is not listed here is an error with file, line and a suggestion. Spans of time
are text with a unit (`250ms`, `30s`, `5m`), amounts are quoted dollars (`"0.25"`). `refgate schema` prints
the JSON Schema for editors; [`scenarios/suite`](../scenarios/suite) is full of examples. The acts of `do:`
have a page of their own: [acts.md](acts.md).

*This page is made from the code: `make docs`.*
"""

_ACTS_HEAD = """\
# Acts

How a fake misbehaves. An act stands in a provider's or the billing service's `acts`, with when and whom it
meets:

```yaml
acts:
  - {from: 10s, until: 5m, match: {op: poll}, chance: 0.5, do: {rate_limited: {retry_after: 30s}}}
  - {skip: 2, count: 1, match: {op: submit}, do: {accepted_and_lost: {how: reset}}}
```

The first act in file order that matches wins in its category; acts on headers all apply, acts on tasks one of
each kind. A draw (`chance`) depends on the seed, the provider, the request and its attempt, never on the
order of other requests.

*This page is made from the code: `make docs`.*
"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kind(shape: Mapping[str, Any]) -> str:
    """A field's kind in a few words, from its JSON Schema."""
    if "const" in shape:
        return f"`{shape['const']}`"
    if "enum" in shape:
        return " · ".join(f"`{one}`" for one in shape["enum"])
    if "$ref" in shape:
        name = shape["$ref"].rsplit("/", 1)[-1]
        if name in _DO:
            return "[one act](acts.md)"
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in shape:
            return " or ".join(dict.fromkeys(_kind(one) for one in shape[several]))
    if "examples" in shape:
        return f"text like `{shape['examples'][0]}`"
    kind = str(shape.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(shape.get('items', {}))}"
    patterns = shape.get("patternProperties", {})
    inner = next(iter(patterns.values()), None) or shape.get("additionalProperties")
    if kind == "object" and isinstance(inner, Mapping):
        return f"mapping to {_kind(inner)}"
    return {"object": "mapping", "string": "text", "integer": "whole number", "boolean": "yes or no"}.get(
        kind, kind
    )


def _fields(shape: Mapping[str, Any]) -> Iterator[str]:
    required = shape.get("required", ())
    for name, field in shape.get("properties", {}).items():
        yield f"| `{name}`{' (required)' if name in required else ''} | {_cell(_kind(field))} |\n"


def scenario_page() -> str:
    """Every part of a scenario with its fields; acts are left to their page."""
    found = schema()
    plays = {type_.__name__ for type_ in _plays(ProviderDo)} | {type_.__name__ for type_ in _plays(BillingDo)}
    parts = [_SCENARIO_HEAD]
    for name, shape in [("Scenario", found), *sorted(found["$defs"].items())]:
        if name in plays or name in _DO:
            continue
        parts.append(f"\n## {name}\n\n{shape.get('description', '').strip()}\n")
        fields = list(_fields(shape))
        if fields:
            parts += ["\n| field | kind |\n|---|---|\n", *fields]
    return "".join(parts)


def _plays(do: type[BaseModel]) -> Iterator[type[Play]]:
    for field in do.model_fields.values():
        yield next(one for one in getattr(field.annotation, "__args__", ()) if one is not type(None))


def acts_page() -> str:
    """Every act of providers and of billing, with its parameters."""
    parts = [_ACTS_HEAD]
    for title, do in (("Providers", ProviderDo), ("Billing", BillingDo)):
        parts.append(f"\n## {title}\n\n| act | parameters | what it does |\n|---|---|---|\n")
        for name, play in zip(do.model_fields, _plays(do), strict=True):
            shape = play.model_json_schema()
            parameters = [f"`{one}`: {_kind(field)}" for one, field in shape.get("properties", {}).items()]
            cells = (f"`{name}`", "; ".join(parameters) or "none", inspect.getdoc(play) or "")
            parts.append(f"| {' | '.join(map(_cell, cells))} |\n")
    return "".join(parts)


PAGES = MappingProxyType({"scenario-files.md": scenario_page, "acts.md": acts_page})
"""File in `docs/` → what makes it."""


def write(folder: Path = _DOCS) -> None:
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    write()
