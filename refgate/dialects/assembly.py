"""A stream's events → the whole answer they make, and back: a kept answer told as a stream.

Both ways give what the provider's other form would have given: `assemble(events_of(answer))` is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from refgate.dialects.canonical import Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from refgate.dialects.spoken import (
    Answer,
    Began,
    Broke,
    CallBegan,
    CallSaid,
    Done,
    Event,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
)

__all__ = ["Assembly", "assemble", "events_of", "extent", "merged"]


@dataclass
class _Call:
    id: str
    name: str
    signature: str | None
    pieces: list[str]


class Assembly:
    """Takes events as they come; `parts` is what has been said so far, also when the stream broke."""

    def __init__(self) -> None:
        self.id = ""
        self.ended: Done | Broke | None = None
        self._spans: list[tuple[type[Text] | type[Refusal] | type[Thinking], list[str]] | Part | _Call] = []
        self._calls: dict[int, _Call] = {}
        self._others: dict[int, list[str]] = {}

    def take(self, event: Event) -> None:
        match event:
            case Began():
                self.id = event.id
            case TextSaid(text):
                self._say(Text, text)
            case ThoughtSaid(text):
                self._say(Thinking, text)
            case RefusalSaid(text):
                self._say(Refusal, text)
            case ThoughtSigned(signature, redacted):
                self._sign(signature, redacted)
            case CallBegan(index, call_id, name, signature):
                self._calls[index] = _Call(call_id, name, signature, [])
                self._spans.append(self._calls[index])
            case CallSaid(index, arguments):
                self._calls[index].pieces.append(arguments)
            case OtherSaid(choice, text):
                self._others.setdefault(choice, []).append(text)
            case Done() | Broke():
                self.ended = event
            case _:
                assert_never(event)

    @property
    def parts(self) -> tuple[Part, ...]:
        made: list[Part] = []
        for span in self._spans:
            if isinstance(span, _Call):
                made.append(ToolCall(span.id, span.name, "".join(span.pieces), span.signature))
            elif isinstance(span, tuple):
                kind, pieces = span
                made.append(kind("".join(pieces)))
            else:
                made.append(span)
        return tuple(made)

    def answer(self) -> Answer | Broke:
        """The whole answer of a stream that ended; the break of one that broke."""
        if self.ended is None:
            raise ValueError("the stream has not ended")
        if isinstance(self.ended, Broke):
            return self.ended
        return Answer(
            id=self.id,
            model=self.ended.model,
            parts=self.parts,
            finish=self.ended.finish,
            usage=self.ended.usage,
            stop_sequence=self.ended.stop_sequence,
            service_tier=self.ended.service_tier,
            notes=self.ended.notes,
            others=tuple("".join(pieces) for _, pieces in sorted(self._others.items())),
        )

    def _say(self, kind: type[Text] | type[Refusal] | type[Thinking], text: str) -> None:
        last = self._spans[-1] if self._spans else None
        if isinstance(last, tuple) and last[0] is kind:
            last[1].append(text)
        else:
            self._spans.append((kind, [text]))

    def _sign(self, signature: str | None, redacted: str | None) -> None:
        last = self._spans[-1] if self._spans else None
        if redacted is not None:
            self._spans.append(Thinking("", None, redacted))
        elif isinstance(last, tuple) and last[0] is Thinking:
            self._spans[-1] = Thinking("".join(last[1]), signature)
        else:
            self._spans.append(Thinking("", signature))


def assemble(events: Iterable[Event]) -> Answer | Broke:
    """The answer that the events make."""
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return assembly.answer()


def extent(event: Event) -> int:
    """By how many characters an answer grows with this event: one at least, where it says anything."""
    match event:
        case TextSaid(text) | ThoughtSaid(text) | RefusalSaid(text) | OtherSaid(_, text) | CallSaid(_, text):
            return max(1, len(text))
        case CallBegan(_, call_id, name, signature):
            return max(1, len(call_id) + len(name) + len(signature or ""))
        case ThoughtSigned(signature, redacted):
            return max(1, len(signature or "") + len(redacted or ""))
        case Began() | Done() | Broke():
            return 0
        case _:
            assert_never(event)


def events_of(answer: Answer) -> Iterator[Event]:
    """A whole answer as a stream would tell it, each part in one piece."""
    yield Began(answer.id, answer.model)
    yield from _told(answer.parts)
    for number, text in enumerate(answer.others, 1):
        yield OtherSaid(number, text)
    yield Done(
        answer.finish, answer.usage, answer.model, answer.stop_sequence, answer.service_tier, answer.notes
    )


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Neighbours of one kind as one part, empty ones left out: the parts that a stream would make."""
    assembly = Assembly()
    for event in _told(parts):
        assembly.take(event)
    return assembly.parts


def _told(parts: Iterable[Part]) -> Iterator[Event]:
    calls = 0
    for part in parts:
        match part:
            case Text(text):
                if text:
                    yield TextSaid(text)
            case Refusal(text):
                if text:
                    yield RefusalSaid(text)
            case Thinking(text, signature, redacted):
                if text:
                    yield ThoughtSaid(text)
                if signature is not None or redacted is not None:
                    yield ThoughtSigned(signature, redacted)
            case ToolCall(call_id, name, arguments, mark):
                yield CallBegan(calls, call_id, name, mark)
                if arguments:
                    yield CallSaid(calls, arguments)
                calls += 1
            case Media() | ToolResult():
                raise ValueError("no answer holds such a part")
            case _:
                assert_never(part)
