"""Attributes replaced for the length of a block, and put back whatever happens."""

from __future__ import annotations

from types import TracebackType
from typing import Any

__all__ = ["Patches"]

_MISSING = object()


class Patches:
    """`put` replaces, leaving the block restores, last first."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, object]] = []

    def put(self, holder: Any, name: str, value: object) -> Any:
        """Replace `holder.name`; the answer is what was there, as an attribute."""
        # From the holder's own dictionary: a class method must go back as one, and an inherited
        # attribute must go back to being inherited.
        before = getattr(holder, name, None)
        self._saved.append((holder, name, vars(holder).get(name, _MISSING)))
        setattr(holder, name, value)
        return before

    def __enter__(self) -> Patches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._saved:
            holder, name, value = self._saved.pop()
            if value is _MISSING:
                delattr(holder, name)
            else:
                setattr(holder, name, value)
