"""The wire under an unmodified `httpx2.AsyncClient`, or called directly at its transport seam."""

from __future__ import annotations

import httpx2

from fakes.wire.transport import AnswerStream, WireTransport

__all__ = ["Httpx2Transport"]


class _Stream(AnswerStream, httpx2.AsyncByteStream):
    """The body as httpx2 wants it typed."""


class Httpx2Transport(WireTransport, httpx2.AsyncBaseTransport):
    """Sends httpx2 requests over the wire."""

    library = httpx2
    stream_type = _Stream
