"""Server-sent events: bytes into frames and back, whatever the chunks.

A chunk may end inside a UTF-8 character, between CR and LF, or in the middle of a field name. Each frame
keeps its own bytes, so that a stream can pass through as it came. Nothing grows without bound: a line or
an event above its ceiling is `SseBroken`. Bytes that are not UTF-8 read as U+FFFD, as browsers do, and
pass through as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Frame", "SseBroken", "SseParser", "encode"]

_BOM = b"\xef\xbb\xbf"


class SseBroken(ValueError):
    """The stream cannot be read on: an event is larger than its ceiling."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it came. `raw` includes the comments before it and its closing blank line.

    `data` is None where there was no `data` field: a lone comment, an id, or a keep-alive. `closed` is
    False for what was left when the bytes ended without a blank line.
    """

    event: str | None
    data: str | None
    raw: bytes
    closed: bool = True


class SseParser:
    """Feed it chunks; it gives whole frames. After `close`, feed it no more."""

    def __init__(self, *, frame_bytes_max: int = 1 << 20) -> None:
        self._max = frame_bytes_max
        self._buffer = bytearray()  # bytes of the present frame
        self._scanned = 0  # how many of them have been cut into lines
        self._hunt = 0  # where to look for the next line's end
        self._event: str | None = None
        self._data: list[str] = []
        self._fresh = True  # nothing has been read: a byte order mark may come

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that this chunk completes. Raises SseBroken at the ceiling."""
        if not self._buffer and (plain := self._plain(chunk)) is not None:
            self._fresh = False
            return plain
        self._buffer += chunk
        frames = self._frames(final=False)
        if len(self._buffer) > self._max:
            raise SseBroken("an event is larger than its ceiling")
        return frames

    def close(self) -> list[Frame]:
        """What was left over: at most one whole frame, and one that is not closed."""
        frames = self._frames(final=True)
        if self._buffer:
            self._field(bytes(self._buffer[self._scanned :]))
            frames.append(self._take(len(self._buffer), closed=False))
        return frames

    def _plain(self, chunk: bytes) -> list[Frame] | None:
        """The frames of a chunk that is nothing but whole ones in the usual form; None for any other.

        Nearly every chunk is, and most of the work on a stream is this: so it is not cut into lines.
        """
        if chunk[-2:] != b"\n\n" or b"\r" in chunk:
            return None
        frames: list[Frame] = []
        for one in chunk[:-2].split(b"\n\n"):
            event, line = None, one
            if line[:7] == b"event: ":
                head, _, line = line.partition(b"\n")
                event = head[7:].decode("utf-8", "replace") or None
            if line[:6] != b"data: " or b"\n" in line or len(one) + 2 > self._max:
                return None
            frames.append(Frame(event, line[6:].decode("utf-8", "replace"), one + b"\n\n"))
        return frames

    def _frames(self, *, final: bool) -> list[Frame]:
        if self._fresh and self._buffer:
            if not final and len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
                return []
            self._fresh = False
            if self._buffer.startswith(_BOM):
                self._scanned = self._hunt = len(_BOM)
        frames: list[Frame] = []
        while (line := self._line(final)) is not None:
            if line:
                self._field(line)
            else:
                frames.append(self._take(self._scanned, closed=True))
        return frames

    def _line(self, final: bool) -> bytes | None:
        """The next line, if its end is there. A CR at the very end waits: an LF may belong to it."""
        buffer = self._buffer
        lf = buffer.find(b"\n", self._hunt)
        cr = buffer.find(b"\r", self._hunt, lf if lf >= 0 else len(buffer))
        end = cr if cr >= 0 else lf
        if end < 0 or (cr >= 0 and cr + 1 == len(buffer) and not final):
            self._hunt = len(buffer) if end < 0 else end
            return None
        after = end + 2 if buffer[end : end + 2] == b"\r\n" else end + 1
        if after > self._max:
            raise SseBroken("an event is larger than its ceiling")
        line = bytes(buffer[self._scanned : end])
        self._scanned = self._hunt = after
        return line

    def _field(self, line: bytes) -> None:
        if line.startswith(b":"):
            return
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value

    def _take(self, length: int, *, closed: bool) -> Frame:
        data = "\n".join(self._data) if self._data else None
        frame = Frame(self._event or None, data, bytes(self._buffer[:length]), closed)
        del self._buffer[:length]
        self._scanned = self._hunt = 0
        self._event = None
        self._data = []
        return frame


def encode(data: str, *, event: str | None = None) -> bytes:
    """One event. Line breaks inside `data` become further `data` lines."""
    head = "" if event is None else f"event: {event}\n"
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode("utf-8", "replace")
