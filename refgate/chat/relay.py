"""A backend's stream on its way to a caller: bytes in, the caller's bytes out, and what was said counted.

Like protocols pass their frames; unlike ones go through events, and may say only so much. Each frame is read
before it may pass, so that an error in it is told in the gateway's own way. What comes with the answer's end
is held back for `closing`: the end is told once it is written down. Does no I/O and knows no time.
"""

from __future__ import annotations

from refgate.chat.cache import Heard
from refgate.chat.tokens import Tally
from refgate.dialects.assembly import events_of, extent
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import stream_error
from refgate.dialects.faults import broken
from refgate.dialects.passing import StreamPasser
from refgate.dialects.registry import Spoken, StreamWriter, read_answer, stream_reader, stream_writer
from refgate.dialects.spoken import Broke, Done, Event, Fault
from refgate.dialects.sse import Frame, SseBroken, SseParser, encode
from refgate.scrub import scrub

__all__ = ["Relay"]

_FRAME_MAX = 1 << 20
_HEAD_MAX = 1 << 20
_TAIL_MAX = 1 << 20
_TOLD_MAX = 8 << 20  # some writers keep what was said until its end: a stream of them may not be endless
_EVENT = 16  # characters that each piece costs, however small


class Relay:
    """One stream. Feed it chunks until it is `ended`, or end it."""

    def __init__(
        self, target: Protocol, source: Protocol, spoken: Spoken, *, secret: str, heard: Heard | None
    ) -> None:
        self._target = target
        self._source = source
        self._spoken = spoken
        self._secret = secret
        self._heard = heard
        self._parser = SseParser(frame_bytes_max=_FRAME_MAX)
        self._reader = stream_reader(target, call_prefix=spoken.id)
        self._passer: StreamPasser | None = None
        self._writer: StreamWriter | None = None
        if target is source:
            self._passer = StreamPasser(source, spoken.model, include_usage=spoken.include_usage)
        else:
            self._writer = stream_writer(source, spoken)
        self._whole: bytearray | None = None  # a body that is no stream
        self._fresh = True
        self._frames = 0
        self._out = bytearray()  # for the caller, not yet taken
        self._last = bytearray()  # for the caller, after the end is written down
        self._sentinel = False
        self._told = 0  # characters that a writer was given
        self.tally = Tally()
        self.lively = False  # the last chunk said something that is no mere sign of life
        self.ended: Done | Broke | None = None

    @property
    def over(self) -> bool:
        """The answer's own end was seen: the bytes should end soon."""
        return self._reader.over

    @property
    def spoke(self) -> bool:
        """Whether a token has come."""
        return self.tally.tokens > 0

    def feed(self, chunk: bytes) -> None:
        """Raises nothing: a stream that cannot be read ends with `Broke`."""
        self.lively = False
        if self._fresh and (start := chunk.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]):
            self._fresh = False
            self._whole = bytearray() if start in b"{[" else None
        try:
            if self._whole is not None:
                self._keep_whole(chunk)
            else:
                self._frames_in(self._parser.feed(chunk))
            if len(self._out) > _HEAD_MAX and not self.spoke:
                raise SseBroken("too much came before the first token")
        except SseBroken as bad:
            self.end(broken(str(bad)))
        if len(self._last) > _TAIL_MAX:
            self.end()

    def end(self, cut: Fault | None = None) -> None:
        """The bytes are over; `cut` says what failed, if they did not end by themselves. Told twice, once is
        enough."""
        if self.ended is not None:
            return
        if self._whole is not None and cut is None:
            self._tell_whole(bytes(self._whole))
            return
        if cut is None:
            try:
                self._frames_in(self._parser.close())
            except SseBroken as bad:
                cut = broken(str(bad))
        if self.ended is None:
            self._finish(self._reader.end(cut))

    def take(self) -> bytes:
        """What the caller may be told now."""
        out = scrub(bytes(self._out), self._secret)
        self._out.clear()
        return out

    def closing(self, fault: Fault | None = None) -> bytes:
        """The last that the caller is told: the answer's end, or this error in its place.

        An answer of no words is told here from its beginning.
        """
        if fault is None:
            return self.take() + scrub(bytes(self._last), self._secret)
        if self._writer is not None:
            return self._writer.write(Broke(fault, self._reader.metered))
        return stream_error(self._source, fault, sequence=self._frames)

    def _frames_in(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self.ended is not None:
                return
            events = self._reader.feed(frame)
            if frame.data is not None and frame.event != "ping":
                self.lively = True
                self._frames += 1
                self._sentinel = self._sentinel or frame.data == "[DONE]"
            if events:
                self._take(events)
            if self.ended is None and self._passer is not None:
                (self._last if self._reader.over else self._out).extend(self._passer.write(frame))

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Done | Broke):
                self._finish([event])
                return
            self.tally.take(event)
            if self._heard is not None:
                self._heard.take(event)
            if self._writer is not None:
                self._told += _EVENT + extent(event)
                if self._told > _TOLD_MAX:
                    large = broken("the answer is too large")
                    self._finish([Broke(large, self._reader.metered, self._reader.model)])
                    return
                self._out += self._writer.write(event)

    def _finish(self, events: list[Event]) -> None:
        """Takes the one event that ends the stream, and what the reader says before it."""
        *before, last = events
        if before:
            self._take(before)
        assert isinstance(last, Done | Broke)
        self.ended = last
        if self._heard is not None:
            self._heard.take(last)
        if isinstance(last, Broke):
            return
        if self._writer is not None:
            self._last += self._writer.write(last)
        elif self._source is Protocol.OPENAI_CHAT and not self._sentinel:
            self._last += encode("[DONE]")  # some providers leave it out; callers may wait for it

    # A body that is no stream, though one was asked for.

    def _keep_whole(self, chunk: bytes) -> None:
        assert self._whole is not None
        self._whole += chunk
        if len(self._whole) > _FRAME_MAX:
            raise SseBroken("the answer is no stream, and too large")

    def _tell_whole(self, body: bytes) -> None:
        """An error mostly; or an answer, from a backend that does not stream. Then it is told as a stream."""
        said = read_answer(self._target, body, call_prefix=self._spoken.id)
        if isinstance(said, Broke):
            self._finish([said])
            return
        self._writer, self._passer = stream_writer(self._source, self._spoken), None
        self._take(list(events_of(said)))
