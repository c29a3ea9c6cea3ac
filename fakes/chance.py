"""A draw that depends on what it is for, and on nothing else.

A stream of random numbers hands the next number to whoever asks next: one more request, and every
later draw moves. `chance` hashes the seed and the keys instead, so request 7 of a provider meets
the same fate whatever the other requests did. `Draws` does the same for what is drawn at every message: its
name is hashed once, and a draw is a few multiplications. Neither keeps a state or knows a clock.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["Draws", "Key", "chance"]

Key = str | int | bytes | None
"""What a draw may be keyed by: values whose text is the same in every process."""


_64_BITS = (1 << 64) - 1


class Draws:
    """Draws of one name, told apart by two numbers."""

    def __init__(self, seed: int, *keys: Key) -> None:
        self._start = int.from_bytes(_hashed(seed, keys), "big")

    def at(self, number: int, part: int) -> float:
        """A number in [0, 1), the same for equal name and numbers wherever and whenever it is drawn."""
        # SplitMix64's finalizer, over steps that no two small pairs of numbers share.
        mixed = (self._start + number * 0x9E3779B97F4A7C15 + part * 0xD1342543DE82EF95) & _64_BITS
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
        return ((mixed ^ mixed >> 31) >> 11) / (1 << 53)


def chance(seed: int, *keys: Key) -> float:
    """A number in [0, 1), the same for equal seed and keys in every process and version of Python."""
    # 53 bits fill a float exactly: no draw can round up to 1.
    return (int.from_bytes(_hashed(seed, keys), "big") >> 11) / (1 << 53)


def _hashed(seed: int, keys: tuple[Key, ...]) -> bytes:
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
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
