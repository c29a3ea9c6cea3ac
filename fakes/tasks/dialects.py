"""The vendors by name."""

from __future__ import annotations

from collections.abc import Mapping

from fakes.tasks.dashscope import DashScope
from fakes.tasks.dialect import Dialect
from fakes.tasks.fal import Fal
from fakes.tasks.kling import Kling
from fakes.tasks.minimax import MiniMax
from fakes.tasks.replicate import Replicate
from fakes.tasks.runninghub import RunningHub

__all__ = ["DIALECTS", "dialect_named"]

DIALECTS: Mapping[str, type[Dialect]] = {
    dialect.name: dialect for dialect in (RunningHub, Kling, Replicate, Fal, DashScope, MiniMax)
}


def dialect_named(name: str) -> Dialect:
    if name not in DIALECTS:
        raise ValueError(f"no dialect {name!r}: there are {', '.join(DIALECTS)}")
    return DIALECTS[name]()
