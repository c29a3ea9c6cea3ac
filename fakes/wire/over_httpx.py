"""The wire under an unmodified `httpx.AsyncClient`, or called directly at its transport seam."""

from __future__ import annotations

import httpx

from fakes.wire.transport import AnswerStream, WireTransport

__all__ = ["HttpxTransport"]


class _Stream(AnswerStream, httpx.AsyncByteStream):
    """The body as httpx wants it typed."""


class HttpxTransport(WireTransport, httpx.AsyncBaseTransport):
    """Sends httpx requests over the wire."""

    library = httpx
    stream_type = _Stream
