"""What acts make of an honest stream: another order, another end, other bytes for the same words.

A stream is a list of timed events and an ending. An act whose place lies beyond the end of the stream
does not take effect, and says so. Bytes are bent last, so that an act never depends on how another
one wrote its event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from fakes.acts.chats import (
    Billed,
    CutStream,
    Duplicated,
    Framing,
    FramingKind,
    InStream,
    MalformedChunk,
    Stall,
    StreamEnder,
    StreamError,
    Truncated,
)
from fakes.acts.play import Play
from fakes.chat.dialect import Event

__all__ = ["End", "Stream", "bend", "reframed"]

_APART_US = 1_000

End = Literal["whole", "truncated", "close", "reset", "silence"]

_ORDER: tuple[type[Play], ...] = (MalformedChunk, Duplicated, Stall, StreamError, Truncated, CutStream)


@dataclass(slots=True)
class Stream:
    """The events that will be written, and how it ends."""

    events: list[Event]
    end: End = "whole"
    billed: Billed | None = None  # what an act says of the bill; None: what was generated


def bend(stream: Stream, plays: list[Play], error: Callable[[StreamError, int], bytes]) -> list[Play]:
    """Plays the acts on the stream; returns those that took effect."""
    chosen = {type(play): play for play in plays}
    effective: list[Play] = []
    for kind in _ORDER:
        play = chosen.get(kind)
        if isinstance(play, InStream) and stream.end == "whole" and _bent(stream, play, error):
            effective.append(play)
    return effective


def _bent(stream: Stream, play: InStream, error: Callable[[StreamError, int], bytes]) -> bool:
    place = _place(stream.events, play)
    if place is None:
        return False
    match play:
        case MalformedChunk():
            event = stream.events[place]
            stream.events[place] = replace(event, data=_broken(event.data), text="", usage=None)
        case Duplicated(times=times):
            event = stream.events[place]
            again = replace(event, output_text=0, output_reasoning=0)
            stream.events[place + 1 : place + 1] = [replace(again) for _ in range(times)]
        case Stall(for_us=None):
            del stream.events[place:]
            stream.end = "silence"
        case Stall(for_us=for_us):
            for event in stream.events[place:]:
                event.at_us += for_us or 0
        case StreamError(then=then):
            at_us = stream.events[place].at_us
            stream.events[place:] = [Event(error(play, place), at_us=at_us)]
            _ended(stream, play, "truncated" if then == "end" else then)
        case Truncated():
            del stream.events[place:]
            _ended(stream, play, "truncated")
        case CutStream(how=how, in_character=in_character):
            _cut(stream, place, in_character)
            _ended(stream, play, how)
    return True


def _ended(stream: Stream, play: StreamEnder, end: End) -> None:
    stream.end = end
    stream.billed = play.billed


def _place(events: list[Event], play: InStream) -> int | None:
    """The index of the event the act meets, or None where the stream is not so long."""
    if play.after_events is not None:
        return play.after_events if play.after_events < len(events) else None
    spoken = [index for index, event in enumerate(events) if event.output_text]
    wanted = play.after_words or 0
    return spoken[wanted] if wanted < len(spoken) else None


def _broken(data: bytes) -> bytes:
    """The event with its JSON cut in the middle."""
    body = data.rstrip()
    start = body.find(b"data:")
    return body[: start + max(6, (len(body) - start) // 2)] + b"\n\n"


def _cut(stream: Stream, place: int, in_character: bool) -> None:
    """Drops what follows; inside a letter, after the first of its bytes, from this place on."""
    if in_character:
        for index in range(place, len(stream.events)):
            event = stream.events[index]
            letter = re.search(rb"[\xc2-\xf4]", event.data)
            if letter is not None:
                stream.events[index + 1 :] = []
                stream.events[index] = replace(
                    event, data=event.data[: letter.end()], text="", usage=None, whole=False
                )
                return
    del stream.events[place:]


# --- the same words in other bytes ------------------------------------------------------------------


def reframed(stream: Stream, play: Framing, ping: bytes) -> None:
    """Writes the events in the ways the act names. A wrong content type is the head's, not seen to here."""
    for kind in sorted(play.kinds, key=lambda kind: kind == "crlf"):  # that one rewrites all the others
        if kind == "split":
            continue
        if kind == "no_done":
            stream.events = [event for event in stream.events if not event.data.startswith(b"data: [DONE]")]
        elif kind == "extra_done" and stream.events:
            stream.events.append(Event(b"data: [DONE]\n\n", at_us=stream.events[-1].at_us))
        else:
            for event in stream.events:
                event.data = _rewritten(event.data, kind, ping)
    if "split" in play.kinds:  # the letters as they stand now
        stream.events = list(_in_pieces(stream.events, play.bytes))


def _in_pieces(events: Iterable[Event], size: int) -> Iterator[Event]:
    """The events in pieces, a millisecond apart; what an event brings comes with its last piece."""
    free_us = 0
    for event in events:
        for start in range(0, len(event.data), size):
            data, at_us = event.data[start : start + size], max(event.at_us, free_us)
            free_us = at_us + _APART_US
            if start + size >= len(event.data):
                yield replace(event, data=data, at_us=at_us)
            else:
                yield Event(data, at_us=at_us, whole=False)


def _rewritten(data: bytes, kind: FramingKind, ping: bytes) -> bytes:
    match kind:
        case "crlf":
            return data.replace(b"\n", b"\r\n")
        case "comments":
            return b": still here\n\n" + data
        case "pings":
            return ping + data
        case "no_space":
            return re.sub(rb"^(event|data): ", rb"\1:", data, flags=re.MULTILINE)
        case "no_blank_line":
            return data.removesuffix(b"\n") if data.endswith(b"\n\n") else data
        case "no_event_line":
            return re.sub(rb"^event:.*\n", b"", data, flags=re.MULTILINE)
        case _:
            return data
