"""The vendors by name."""

from __future__ import annotations

from collections.abc import Mapping

from fakes.tasks.dialect import Dialect
from fakes.tasks.runninghub import RunningHub

__all__ = ["DIALECTS", "dialect_named"]

DIALECTS: Mapping[str, type[Dialect]] = {dialect.name: dialect for dialect in (RunningHub,)}


def dialect_named(name: str) -> Dialect:
    if name not in DIALECTS:
        raise ValueError(f"no dialect {name!r}: there are {', '.join(DIALECTS)}")
    return DIALECTS[name]()
