"""The page of acts, made from the models: every act with its parameters, in the words of its docstring.

`python -m scenarios.pages` prints what stands in `docs/acts.md` (`make docs`); a test compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from fakes.acts.play import Play
from fakes.acts.script import BillingAct, ChatAct, ProviderAct

__all__ = ["acts_page"]

_ACTS_HEAD = """\
# Acts

How a fake misbehaves. An act stands in the `acts` of a provider, of tasks or of models, or of the billing
service, with when and whom it meets:

```yaml
acts:
  - {from: 10s, until: 5m, match: {op: poll}, chance: 0.5, do: {rate_limited: {retry_after: 30s}}}
  - {skip: 2, count: 1, match: {op: submit}, do: {accepted_and_lost: {how: reset}}}
```

The first act in file order that matches wins in its category; acts on headers all apply, acts on tasks one of
each kind. A draw (`chance`) depends on the seed, the provider, the request and its attempt, never on the
order of other requests.

In a `match` a text may hold `*` and `?`; what is left out matches anything.

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
        return f"`{shape['$ref'].rsplit('/', 1)[-1]}`"
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


def _plays(do: type[BaseModel]) -> Iterator[type[Play]]:
    for field in do.model_fields.values():
        yield next(one for one in getattr(field.annotation, "__args__", ()) if one is not type(None))


def _matching(act: type[BaseModel]) -> str:
    """What a match may ask of a request, in one line."""
    match = act.model_fields["match"].annotation
    assert isinstance(match, type) and issubclass(match, BaseModel)
    fields = match.model_json_schema()["properties"]
    shown = (f"`{name}`: {_kind(shape).removesuffix(' or null')}" for name, shape in fields.items())
    return f"`match`: {'; '.join(shown)}."


def acts_page() -> str:
    """Every act of providers and of billing, with its parameters, and whom it may meet."""
    parts = [_ACTS_HEAD]
    for title, act in (
        ("Providers", ProviderAct),
        ("Providers of models", ChatAct),
        ("Billing", BillingAct),
    ):
        do = act.model_fields["do"].annotation
        assert isinstance(do, type) and issubclass(do, BaseModel)
        parts.append(f"\n## {title}\n\n{_matching(act)}\n\n")
        parts.append("| act | parameters | what it does |\n|---|---|---|\n")
        for name, play in zip(do.model_fields, _plays(do), strict=True):
            shape = play.model_json_schema()
            parameters = [f"`{one}`: {_kind(field)}" for one, field in shape.get("properties", {}).items()]
            cells = (f"`{name}`", "; ".join(parameters) or "none", inspect.getdoc(play) or "")
            parts.append(f"| {' | '.join(map(_cell, cells))} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(acts_page(), end="")
