"""Whose words an answer is made of: the work that spoke them, found by the name it gives itself.

A fake's text begins with `[nonce:abc by east/12]`, and the arguments of its tool calls hold the same: nonce,
backend, and the number of the request there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fakes.journal import Fact
from scenarios.checks.chat_parts import Work
from scenarios.checks.chat_view import ChatView
from scenarios.declared.gateway import Declared
from scenarios.history import Heard, History

__all__ = ["Voice", "Voices"]

_TAG = re.compile(r"\[(?:nonce:([^\s\]]{1,200}) )?by ([A-Za-z0-9_.-]{1,64})/(\d{1,9})\]")
_ARGUMENT = re.compile(r'"nonce":\s*(?:"([^"]{1,200})"|null),\s*"by":\s*"([A-Za-z0-9_.-]{1,64})/(\d{1,9})"')


@dataclass(frozen=True, slots=True)
class Voice:
    """One that speaks in an answer: for which nonce, and as which request of which backend."""

    nonce: str | None
    backend: str
    seq: int


class Voices:
    """`Voices.of(history, declared)` gives the one that all checks share."""

    def __init__(self, view: ChatView) -> None:
        self._works = {(work.backend, work.received.seq): work for work in view.works}
        self._known: dict[int, tuple[Voice, ...]] = {}

    @classmethod
    def of(cls, history: History, declared: Declared) -> Voices:
        return history.derived((cls, declared), lambda: cls(ChatView.of(history, declared)))

    def heard_in(self, heard: Heard) -> tuple[Voice, ...]:
        """Everybody who speaks in this answer, each once, in order."""
        found = self._known.get(id(heard))
        if found is None:
            parts = _TAG.findall(heard.text)
            for _, arguments in heard.calls:
                parts += _ARGUMENT.findall(arguments)
            named = (Voice(nonce or None, backend, int(seq)) for nonce, backend, seq in parts)
            found = self._known[id(heard)] = tuple(dict.fromkeys(named))
        return found

    def work_of(self, voice: Voice) -> Work | None:
        return self._works.get((voice.backend, voice.seq))

    def only(self, heard: Heard) -> Work | None:
        """The work that the answer is made of; None where that cannot be told."""
        voices = self.heard_in(heard)
        return self.work_of(voices[0]) if len(voices) == 1 else None

    def facts(self, heard: Heard) -> tuple[Fact | None, ...]:
        works = (self.work_of(one) for one in self.heard_in(heard))
        return tuple(work.ended for work in works if work is not None)
