"""Takes a provider's credential out of what the provider answers.

Some endpoints echo the request, its credential included. Where the gateway put that credential there,
the caller must not learn it. Works on whole bodies and on bodies that come in pieces.
"""

from __future__ import annotations

__all__ = ["Scrubber", "scrub"]

_MASK = b"[redacted]"


def scrub(body: bytes, secret: str) -> bytes:
    """The body without the secret; unchanged, byte for byte, where it was not in there."""
    return body.replace(secret.encode(), _MASK)


class Scrubber:
    """The same for a body in pieces. Holds back only what may be the beginning of the secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What may go on now."""
        data = (self._held + piece).replace(self._secret, _MASK)
        keep = min(len(self._secret) - 1, len(data))
        while keep and not self._secret.startswith(data[len(data) - keep :]):
            keep -= 1
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def rest(self) -> bytes:
        """What was held back, once the body is over."""
        held, self._held = self._held, b""
        return held
