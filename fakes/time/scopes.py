"""anyio's leaks: cancel scopes in sets ordered by address, addresses in messages, worker threads."""

from __future__ import annotations

import asyncio
import builtins
import functools
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import count
from typing import Any

from anyio._backends import _asyncio as backend
from anyio._core._eventloop import claim_worker_thread, threadlocals

from fakes.time.loop import SimLoop
from fakes.time.patches import Patches
from fakes.time.tasks import SimTask

__all__ = ["OrderedScopes", "order_anyio"]

_FROM_THREAD = "return from the worker function first, then await on the loop"


class OrderedScopes(dict[Any, None]):
    """What anyio uses of a set, in order of arrival; and the number of the scope it belongs to."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def add(self, scope: Any) -> None:
        self[scope] = None

    def discard(self, scope: Any) -> None:
        self.pop(scope, None)

    def remove(self, scope: Any) -> None:
        del self[scope]


def order_anyio(loop: SimLoop, patches: Patches) -> None:
    """Give anyio ordered scopes, stable ids and inline threads for the length of a run."""
    number = count(1).__next__
    scope_type = backend.CancelScope
    made = scope_type.__init__

    @functools.wraps(made)
    def make(scope: Any, *args: Any, **kwargs: Any) -> None:
        made(scope, *args, **kwargs)
        scope._child_scopes = OrderedScopes(number())

    def stable_id(what: object) -> int:
        if type(what) is scope_type:
            return what._child_scopes.number  # type: ignore[attr-defined, no-any-return]  # set by `make`
        return what.number if type(what) is SimTask else builtins.id(what)

    patches.put(scope_type, "__init__", make)
    # anyio writes id(scope) into the messages of cancellations.
    patches.put(backend, "id", stable_id)
    patches.put(backend.AsyncIOBackend, "run_sync_in_worker_thread", classmethod(_run_inline(loop)))
    patches.put(backend, "all_tasks", asyncio.all_tasks)
    for name in ("run_sync_from_thread", "run_async_from_thread"):

        def refuse(_cls: Any, /, *_args: Any, _name: str = name, **_kwargs: Any) -> None:
            loop.refuse(f"anyio's {_name} (a worker thread that waits for the loop)", _FROM_THREAD)

        patches.put(backend.AsyncIOBackend, name, classmethod(refuse))


def _run_inline(loop: SimLoop) -> Callable[..., Any]:
    async def run_sync_in_worker_thread(
        cls: Any,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        abandon_on_cancel: bool = False,
        limiter: Any = None,
    ) -> Any:
        await cls.checkpoint()
        async with limiter or cls.current_default_thread_limiter():
            with backend.CancelScope(shield=not abandon_on_cancel) as scope:
                heeded = scope if abandon_on_cancel else scope._parent_scope
                return await loop.run_in_executor(
                    None, _as_worker, loop, heeded or scope, copy_context(), func, args
                )

    return run_sync_in_worker_thread


def _as_worker(
    loop: SimLoop, heeded: Any, context: Context, func: Callable[..., Any], args: tuple[Any, ...]
) -> Any:
    """Call `func` with what anyio gives a worker thread: the caller's context, a scope to check."""
    with claim_worker_thread(backend.AsyncIOBackend, loop):
        threadlocals.current_cancel_scope = heeded
        try:
            return context.run(func, *args)
        finally:
            del threadlocals.current_cancel_scope
