"""Attributes replaced for the length of a block, and put back whatever happens."""

from __future__ import annotations

from types import TracebackType
from typing import Any

__all__ = ["Patches"]

_MISSING = object()


class Patches:
    """`put` replaces, leaving the block restores, last first."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, object, object]] = []

    def put(self, holder: Any, name: str, value: object) -> None:
        """Replace `holder.name`."""
        # From the holder's own dictionary: a class method must go back as one, and an inherited
        # attribute must go back to being inherited.
        self._saved.append((holder, name, vars(holder).get(name, _MISSING), value))
        setattr(holder, name, value)

    def displaced(self) -> list[str]:
        """What somebody else has replaced in its turn, and left so."""
        return [
            f"{getattr(holder, '__name__', holder)}.{name}"
            for holder, name, _, value in self._saved
            if vars(holder).get(name, _MISSING) is not value
        ]

    def __enter__(self) -> Patches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._saved:
            holder, name, before, _ = self._saved.pop()
            if before is _MISSING:
                delattr(holder, name)
            else:
                setattr(holder, name, before)
