"""A draw that depends on what it is for, and on nothing else.

A stream of random numbers hands the next number to whoever asks next: one more request, and every
later draw moves. `chance` hashes the seed and the keys instead, so request 7 of a provider meets
the same fate whatever the other requests did. It keeps no state and knows no clock.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["Key", "chance"]

Key = str | int | bytes | None
"""What a draw may be keyed by: values whose text is the same in every process."""


def chance(seed: int, *keys: Key) -> float:
    """A number in [0, 1), the same for equal seed and keys in every process and version of Python."""
    hasher = blake2b(digest_size=8)
    for key in (seed, *keys):
        hasher.update(_bytes(key))
    # 53 bits fill a float exactly: no draw can round up to 1.
    return (int.from_bytes(hasher.digest(), "big") >> 11) / (1 << 53)


def _bytes(key: Key) -> bytes:
    """The key with its type and length in front, so that no two lists of keys read alike."""
    match key:
        case str():
            body, kind = key.encode("utf-8", "surrogatepass"), "s"
        case bytes():
            body, kind = key, "b"
        case None:
            body, kind = b"", "n"
        case int():
            body, kind = b"%d" % key, "i"
        case _:
            raise TypeError(f"chance is keyed by str, int, bytes or None, not by {type(key).__name__}")
    return f"{kind}{len(body)}:".encode() + body
