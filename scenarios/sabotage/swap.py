"""What a sabotage is, and how one is done and undone.

A sabotage takes one safeguard out of the gateway: a function, method or class that some module or class
holds is replaced by another, for the length of a block. The place is found by the thing that lies there,
never by its name as text: after a rename the import fails, and after a move the block does. Knows nothing of
which hazards there are, nor of who plays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType

__all__ = ["Sabotage", "Swap", "applied"]


@dataclass(frozen=True, slots=True)
class Swap:
    """In `place`, what `was` there `becomes` something else."""

    place: ModuleType | type
    was: object
    becomes: object

    @property
    def name(self) -> str:
        """The one name under which `place` itself holds what is to be replaced."""
        names = [name for name, held in vars(self.place).items() if held is self.was]
        if len(names) != 1:
            raise LookupError(f"{self.place!r} holds {self.was!r} under {len(names)} names, not under one")
        return names[0]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One face of a hazard, brought back by the smallest change that has it.

    `witnesses` are the checks whose promise this breaks; what another check says of it is no proof.
    """

    hazard: str
    face: str
    summary: str
    swap: Swap
    witnesses: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.hazard}/{self.face}"


@contextmanager
def applied(sabotage: Sabotage) -> Iterator[None]:
    """The gateway of this process is sabotaged inside the block, and honest again after it."""
    swap = sabotage.swap
    with ExitStack() as undo:
        name = swap.name
        undo.callback(setattr, swap.place, name, swap.was)
        setattr(swap.place, name, swap.becomes)
        yield
