"""The process-wide leaks, closed for the length of a run: clocks, chance, threads, doors.

Foreign code (SDKs, connection pools) reads the module `time`, draws from `random`, makes ids from
`os.urandom`. For the thread the run lives in, these answer from virtual time and from named
streams, or refuse; other threads see the real ones. `docs/determinism.md` lists every source.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import platform
import random
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from fakes.time.errors import SimulationError
from fakes.time.loop import SimLoop
from fakes.time.owners import current_owner
from fakes.time.patches import Patches
from fakes.time.scopes import order_anyio

__all__ = ["sealed"]

_MARK = "_virtual_run"
_THREADS = "use anyio.to_thread or run_in_executor: both run inline, at a step of their own"
_PROCESS = "start processes outside the simulation, and hand in what they answer"
_NETWORK = "hand the code a transport of `fakes.wire`, or mount the peer as an ASGI app"
_SLEEP = "await asyncio.sleep(), which costs no time"
_BLOCKING = "await asyncio.wrap_future(): nothing else can run while this thread blocks"
_UUID1 = "use uuid.uuid4, which draws from a seeded stream"


@contextmanager
def sealed(loop: SimLoop) -> Iterator[None]:
    """Close the leaks around one run. There can be one run at a time in a process."""
    if asyncio._get_running_loop() is not None:
        raise SimulationError("run_virtual starts a loop of its own: call it outside any running loop")
    if hasattr(time, _MARK):
        raise SimulationError("run_virtual inside run_virtual: await the inner main instead")
    platform.platform()  # asks a process, once: the vendors' SDKs put the answer into their headers
    chance = random.getstate()
    with Patches() as patches:
        patches.put(time, _MARK, True)
        try:
            _clocks(loop, patches)
            _chance(loop, patches)
            _doors(loop, patches)
            patches.put(asyncio, "all_tasks", _all_tasks(loop))
            order_anyio(loop, patches)
            yield
            if displaced := patches.displaced():
                raise SimulationError(
                    f"somebody replaced {', '.join(displaced)} in the middle of the run, so part of it read"
                    " the real world: start freezegun and the like outside run_virtual"
                )
        finally:
            random.setstate(chance)


def _here(loop: SimLoop, virtual: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """`virtual` in the thread of the run, `real` in any other."""
    home, ident = loop.home, threading.get_ident

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return virtual(*args, **kwargs) if ident() == home else real(*args, **kwargs)

    return chosen


def _clocks(loop: SimLoop, patches: Patches) -> None:
    gmtime, localtime, strftime = time.gmtime, time.localtime, time.strftime

    def wall() -> float:
        return loop.wall_us() / 1_000_000

    clocks: dict[str, Callable[..., Any]] = {
        "time": wall,
        "time_ns": lambda: loop.wall_us() * 1_000,
        "monotonic": loop.time,
        "monotonic_ns": lambda: loop.now_us * 1_000,
        "perf_counter": loop.time,
        "perf_counter_ns": lambda: loop.now_us * 1_000,
        "gmtime": lambda seconds=None: gmtime(wall() if seconds is None else seconds),
        "localtime": lambda seconds=None: localtime(wall() if seconds is None else seconds),
        "strftime": lambda form, at=None: strftime(form, localtime(wall()) if at is None else at),
        "sleep": lambda _seconds: loop.refuse("time.sleep", _SLEEP),
    }
    for name, virtual in clocks.items():
        patches.put(time, name, _here(loop, virtual, getattr(time, name)))


def _chance(loop: SimLoop, patches: Patches) -> None:
    entropy = loop.streams.get("entropy")
    seeds = loop.streams.get("unseeded")
    urandom = _here(loop, entropy.randbytes, os.urandom)
    patches.put(os, "urandom", urandom)
    patches.put(random, "_urandom", urandom)  # what SystemRandom, and so `secrets`, draws from
    patches.put(uuid, "uuid1", _here(loop, lambda *_: loop.refuse("uuid.uuid1", _UUID1), uuid.uuid1))
    seed_with = random.Random.seed
    home, ident = loop.home, threading.get_ident

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and ident() == home:
            a = seeds.getrandbits(64)
        seed_with(self, a, version)

    patches.put(random.Random, "seed", seed)
    # The functions of the module are methods of one hidden generator, however they were imported.
    hidden = random._inst
    patches.put(random, "seed", MethodType(seed, hidden))
    seed(hidden, f"{loop.seed}/random")


def _doors(loop: SimLoop, patches: Patches) -> None:
    doors: list[tuple[Any, str, str, str]] = [
        (threading.Thread, "start", "a thread", _THREADS),
        (subprocess.Popen, "__init__", "a process", _PROCESS),
        (os, "system", "os.system", _PROCESS),
        (socket.socket, "connect", "a socket", _NETWORK),
        (socket.socket, "connect_ex", "a socket", _NETWORK),
        (socket.socket, "bind", "a socket", _NETWORK),
        (socket, "getaddrinfo", "socket.getaddrinfo", _NETWORK),
        (socket, "gethostbyname", "socket.gethostbyname", _NETWORK),
    ]
    for holder, name, what, remedy in doors:
        patches.put(holder, name, _refused_here(loop, what, remedy, getattr(holder, name)))
    for name in ("result", "exception"):
        real = getattr(concurrent.futures.Future, name)
        patches.put(concurrent.futures.Future, name, _done_or_refused(loop, real))


def _refused_here(loop: SimLoop, what: str, remedy: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def door(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == loop.home:
            loop.refuse(what, remedy)
        return real(*args, **kwargs)

    return door


def _done_or_refused(loop: SimLoop, real: Callable[..., Any]) -> Callable[..., Any]:
    def wait(future: concurrent.futures.Future[Any], timeout: float | None = None) -> Any:
        if threading.get_ident() == loop.home and not future.done():
            loop.refuse("blocking on a concurrent future", _BLOCKING)
        return real(future, timeout)

    return wait


def _all_tasks(loop: SimLoop) -> Callable[..., set[Any]]:
    """A set filled in order of creation: asyncio fills its own in an order of the past.

    An owner is a process: it sees its own tasks. The world sees all that can still run.
    """

    def all_tasks(_loop: asyncio.AbstractEventLoop | None = None) -> set[Any]:
        owner = current_owner()
        return {task for task in loop.pending() if owner is None or task.owner is owner}

    return all_tasks
