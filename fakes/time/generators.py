"""Async generators that were left half-way: closed in an order and by an owner that are known.

asyncio keeps them in a set (ordered by address) and closes an abandoned one in whatever context
the garbage collector ran. Here they are kept in the order in which they began, and each is closed
in the name of the owner who began it; or not at all, if that owner has lost its power.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextvars import Context
from typing import Any
from weakref import WeakSet, ref

from fakes.time.clock import Clock
from fakes.time.options import Options
from fakes.time.owners import OWNER, Owner

__all__ = ["Generators"]

_PRUNE_MIN = 256

_Generator = AsyncGenerator[Any, Any]


class Generators(Clock):
    """The part of the loop that owns async generators."""

    def __init__(self, seed: int, options: Options) -> None:
        super().__init__(seed, options)
        # By id: when the collector hands us a generator, weak references to it are gone already.
        self._generators: dict[int, tuple[ref[_Generator], Owner | None]] = {}
        self._generators_prune_at = _PRUNE_MIN
        self.closers: WeakSet[asyncio.Task[Any]] = WeakSet()
        """Tasks that close an abandoned generator: not to be cancelled at the end. Never walked."""

    def _asyncgen_firstiter_hook(self, generator: _Generator) -> None:
        kept = self._generators
        if len(kept) >= self._generators_prune_at:
            kept = {key: entry for key, entry in kept.items() if entry[0]() is not None}
            self._generators = kept
            self._generators_prune_at = max(_PRUNE_MIN, 2 * len(kept))
        kept.pop(id(generator), None)  # an address that is used again goes to the end
        kept[id(generator)] = (ref(generator), OWNER.get())

    def _asyncgen_finalizer_hook(self, generator: _Generator) -> None:
        _, owner = self._generators.pop(id(generator), (None, None))
        if self._closed or (owner is not None and not owner.alive):
            return  # Dropped without a step: Python clears its frame and runs no `finally`.
        context = Context()
        context.run(OWNER.set, owner)
        self.call_soon(self._close_generator, generator, context=context)

    def _close_generator(self, generator: _Generator) -> None:
        self.closers.add(self.create_task(generator.aclose(), name="aclose"))

    async def shutdown_asyncgens(self) -> None:
        """Close what still stands open, in the order in which it began."""
        living = [
            generator
            for reference, owner in self._generators.values()
            if (generator := reference()) is not None and (owner is None or owner.alive)
        ]
        self._generators.clear()
        closings = [generator.aclose() for generator in living]
        results = await asyncio.gather(*closings, return_exceptions=True)
        for generator, result in zip(living, results, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": "closing an async generator failed",
                        "exception": result,
                        "asyncgen": generator,
                    }
                )
