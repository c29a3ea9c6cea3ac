"""A client's ear: one answer of a model as it comes, put together and understood.

Strict where the vendors' readers are: an event counts once its blank line has come, letters are UTF-8, and
an answer has ended only when its protocol says so. What the events say is read by `scenarios.clients.said`.
"""

from __future__ import annotations

from scenarios.clients.said import READERS, Said, code_of, error_in, parsed

__all__ = ["Ear"]


class Ear:
    """Listens to one answer. `stream`: what the request asked for."""

    def __init__(self, protocol: str, *, stream: bool) -> None:
        self.said = Said()
        self.status: int | None = None
        self.closed = False
        self._reader = READERS[protocol]
        self._asked_stream = stream
        self._streams = False
        self._whole: list[bytes] = []
        self._rest = b""
        self._after_cr = False
        self._data: list[bytes] = []
        self._event = b""

    def head(self, status: int, content_type: str | None) -> None:
        """The status line and what the answer says it is."""
        self.status = status
        is_events = (content_type or "").partition(";")[0].strip().lower() == "text/event-stream"
        self._streams = self._asked_stream and status < 400 and is_events

    def hear(self, data: bytes, t_us: int) -> None:
        """The next bytes, as they came at this instant."""
        if not self._streams:
            self._whole.append(data)
            return
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        data = self._rest + data
        self._after_cr = data[-1:] == b"\r"
        lines = data.splitlines()
        self._rest = lines.pop() if lines and data[-1:] not in b"\r\n" else b""
        for line in lines:
            if line:
                self._field(line)
            else:
                self._dispatch(t_us)

    def close(self, t_us: int) -> None:
        """The body came to its own end."""
        self.closed = True
        if self._streams:
            return
        document = parsed(b"".join(self._whole))
        told = error_in(document)
        if told is not None or (self.status or 0) >= 400:
            self.said.told = told or "unreadable"
        elif self._asked_stream:
            self.said.odd = "not_a_stream"
        elif not isinstance(document, dict):
            self.said.odd = "unreadable"
        else:
            self._reader.whole(self.said, document)
            if self.said.words or self.said.calls or self.said.tokens:
                self.said.tokens, self.said.first_us = 1, t_us

    @property
    def complete(self) -> bool:
        """Whether everything came that was meant to come."""
        said = self.said
        return self.closed and self._ended and said.told is None and said.odd is None

    @property
    def heard_end(self) -> bool:
        """Whether the protocol's own end has come, in success or not: a reader may stop here."""
        return self.said.ended or self.said.told is not None

    @property
    def _ended(self) -> bool:
        said = self.said
        if self._streams and self._reader.has_end and not said.ended:
            return False
        return not self._reader.has_finish or (bool(said.closed) and said.open <= said.closed)

    @property
    def outcome(self) -> tuple[str, str | None]:
        """ok, error or lost, of an answer that was read to its end; and which error, or what is odd."""
        if self.said.told is not None:
            return "error", self.said.told
        return ("ok", None) if self.complete else ("lost", self.said.odd or "unfinished")

    # Server-sent events.

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value

    def _dispatch(self, t_us: int) -> None:
        if not self._data:
            self._event = b""
            return
        data, event = b"\n".join(self._data), self._event
        self._data, self._event = [], b""
        said = self.said
        if self.heard_end:
            return
        if data == b"[DONE]":
            said.ended = True
            return
        document = parsed(data)
        told = error_in(document) or (code_of(document) if event == b"error" else None)
        if told is not None:
            said.told = told
        elif not isinstance(document, dict):
            said.odd = said.odd or "unreadable"
        elif self._reader.event(said, document):
            said.tokens += 1
            if said.first_us is None:
                said.first_us = t_us
