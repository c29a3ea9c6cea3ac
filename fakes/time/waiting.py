"""Who waits, and where: the text a deadlock is reported with.

Walks the chain of awaits of each pending task down to the line that waits, and names the last
line of the caller's own code on the way, which is the one worth opening.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import FrameType
from typing import Any

from fakes.time.tasks import SimTask

__all__ = ["describe", "place"]

_SHOWN_MAX = 30
_LIBRARIES = ("asyncio", "anyio", "contextlib")


def describe(tasks: Iterable[SimTask]) -> str:
    """One line for each task: its name, and where it waits."""
    lines = [f"  {task.get_name()}{_of(task)} waits at {place(task)}" for task in tasks]
    if len(lines) > _SHOWN_MAX:
        lines[_SHOWN_MAX:] = [f"  … and {len(lines) - _SHOWN_MAX} more"]
    return "\n".join(lines) if lines else "  (no task is pending)"


def place(task: SimTask) -> str:
    """`file:line function` of the innermost frame outside asyncio and anyio."""
    frames = list(_frames(task.get_coro()))
    if not frames:
        return "its first step"
    own = [frame for frame in frames if not _is_library(frame)]
    chosen = own[-1] if own else frames[-1]
    text = _show(chosen)
    return text if chosen is frames[-1] else f"{text} (in {_show(frames[-1])})"


def _of(task: SimTask) -> str:
    return f" ({task.owner.name}#{task.owner.incarnation})" if task.owner is not None else ""


def _frames(awaited: Any) -> Iterator[FrameType]:
    """The frames of a chain of awaits, outermost first."""
    while awaited is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, f"{kind}_await" if kind != "gi" else "gi_yieldfrom", None)
                break
        else:
            return


def _is_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LIBRARIES


def _show(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{frame.f_lineno} {code.co_qualname}"
