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
    # Type and length go before each text, so that no two lists of keys read alike.
    text = f"i{seed};"
    for key in keys:
        if isinstance(key, str):
            text += f"s{len(key)}:{key}"
        elif isinstance(key, int):
            text += f"i{key};"
        elif key is None:
            text += "n;"
        elif isinstance(key, bytes):
            text += f"b{len(key)}:{key.decode('latin-1')}"
        else:
            raise TypeError(f"chance is keyed by str, int, bytes or None, not by {type(key).__name__}")
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits fill a float exactly: no draw can round up to 1.
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
