"""The acts that play on one completion, and which of them took effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from fakes.acts.chats import InStream, StreamError
from fakes.acts.play import Play
from fakes.acts.player import Playing

__all__ = ["Chosen"]

P = TypeVar("P", bound=Play)


@dataclass
class Chosen:
    """The acts that play on one completion, and which of them took effect."""

    playing: Mapping[type[Play], Playing]
    can_break: bool
    effective: list[Play] = field(default_factory=list)

    def play(self, kind: type[P]) -> P | None:
        one = self.playing.get(kind)
        return one.play if one is not None and isinstance(one.play, kind) else None

    def took_effect(self, play: Play | None, effective: bool = True) -> None:
        if play is not None and effective:
            self.effective.append(play)

    def in_stream(self) -> list[Play]:
        """The acts at a place in the stream that this server can play."""
        plays = (one.play for one in self.playing.values() if isinstance(one.play, InStream))
        return [play for play in plays if self.can_break or not _breaks(play)]

    def __iter__(self) -> Iterator[Playing]:
        return iter(self.playing.values())


def _breaks(play: Play) -> bool:
    return play.needs_wire or (isinstance(play, StreamError) and play.then != "end")
