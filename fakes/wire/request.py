"""A request as it goes out, and the rules its client's library would hold it to.

h11 refuses to send an illegal header or a body that belies its declared length; so does this, so that
a gateway that forwards such a header meets the same error here as on a socket. Does no I/O.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass

from fakes.wire.asgi import RawHeaders, legal
from fakes.wire.errors import RequestInvalid

__all__ = ["Body", "Request", "check"]

Body = bytes | AsyncIterable[bytes]


@dataclass(slots=True)
class Request:
    """Header names are in lower case; `host` and the framing header are set."""

    method: str
    scheme: str
    host: str  # name only
    port: int
    path: bytes  # as sent, still encoded
    query: bytes
    headers: RawHeaders
    body: Body


def check(headers: RawHeaders, body: Body) -> None:
    """Raise RequestInvalid where h11 would not have sent this."""
    for name, value in headers:
        if not legal(name, value):
            raise RequestInvalid(f"illegal header {name.decode('latin-1')}")
        if name == b"content-length" and type(body) is bytes and value != b"%d" % len(body):
            raise RequestInvalid(f"content-length {value.decode('latin-1')} for a body of {len(body)} bytes")
