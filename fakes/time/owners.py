"""Whose step is it: processes inside the one process.

A replica of the gateway is an owner. Everything it starts runs in a context that names it, so the
loop knows whose each step is, counts them, and can drop all of them at once: a power cut. Knows
nothing of stores or networks; those hang their own consequences on `on_cut`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field

__all__ = ["OWNER", "Owner", "PowerCut", "current_owner"]


class PowerCut(BaseException):
    """The process this code ran in has lost its power.

    Dead ports raise it to end the step they are called from. It is no `Exception`, so that code
    which handles errors does not handle this; the loop swallows it when it comes from a dead owner.
    """


@dataclass(eq=False, slots=True)
class Owner:
    """One incarnation of a simulated process."""

    name: str
    incarnation: int
    number: int
    """Counts the owners of a run; the hash, so that sets of owners have one order everywhere."""
    steps: int = 0
    alive: bool = True
    cut_at_step: int | None = None
    """Power is cut just before this step (counted from 1) would run."""
    on_cut: list[Callable[[], None]] = field(default_factory=list)
    """Called once, in order, at the cut, outside every context of this owner."""
    _named: Context | None = field(default=None, init=False)

    def context(self) -> Context:
        """A fresh context that names this owner and holds nothing else."""
        if self._named is None:
            self._named = Context()
            self._named.run(OWNER.set, self)
        return self._named.copy()

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<Owner {self.name}#{self.incarnation}{'' if self.alive else ' cut'}>"


OWNER: ContextVar[Owner | None] = ContextVar("fakes.time.owner", default=None)


def current_owner() -> Owner | None:
    """The owner of the step that is running; None for the world itself."""
    return OWNER.get()
