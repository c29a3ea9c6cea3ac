"""Random streams with names, all from one seed.

Each purpose draws from its own stream (`traffic`, `faults`, `ids` …): one more draw in one never
moves another. For draws that must not depend on their order at all, see `fakes.chance`.
"""

from __future__ import annotations

import random

__all__ = ["Streams"]


class Streams:
    """Hands out one `random.Random` per name, made on first use."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, random.Random] = {}

    def get(self, name: str) -> random.Random:
        """The stream of this name: the same object each time, the same numbers for the same seed."""
        stream = self._streams.get(name)
        if stream is None:
            # Seeding by text goes through SHA-512, which no PYTHONHASHSEED touches.
            stream = self._streams[name] = random.Random(f"{self.seed}/{name}")
        return stream
