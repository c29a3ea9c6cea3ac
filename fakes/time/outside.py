"""The doors of the loop that lead outside: threads run inline, all others are shut.

A refusal raises with the way to go instead, and is remembered: the run fails even where the code
swallows the error.
"""

from __future__ import annotations

import threading
from asyncio import events
from collections.abc import Callable
from contextvars import Context
from typing import Any, NoReturn

from fakes.time.errors import OutsideWorld
from fakes.time.generators import Generators
from fakes.time.handles import SimHandle
from fakes.time.options import Options
from fakes.time.owners import OWNER, PowerCut
from fakes.time.tasks import SimFuture

__all__ = ["Outside"]

_NETWORK = "hand the code a transport of `fakes.wire`, or mount the peer as an ASGI app"
_PROCESS = "start processes outside the simulation, and hand in what they answer"
_FILES = "read and write files synchronously, outside the loop"
_SIGNALS = "call what the signal would call, from a task"

_REFUSED = {
    "create_connection": _NETWORK,
    "create_server": _NETWORK,
    "create_datagram_endpoint": _NETWORK,
    "create_unix_connection": _NETWORK,
    "create_unix_server": _NETWORK,
    "connect_accepted_socket": _NETWORK,
    "start_tls": _NETWORK,
    "getaddrinfo": _NETWORK,
    "getnameinfo": _NETWORK,
    "sendfile": _NETWORK,
    "sock_accept": _NETWORK,
    "sock_connect": _NETWORK,
    "sock_recv": _NETWORK,
    "sock_recv_into": _NETWORK,
    "sock_recvfrom": _NETWORK,
    "sock_recvfrom_into": _NETWORK,
    "sock_sendall": _NETWORK,
    "sock_sendfile": _NETWORK,
    "sock_sendto": _NETWORK,
    "add_reader": _NETWORK,
    "add_writer": _NETWORK,
    "remove_reader": _NETWORK,
    "remove_writer": _NETWORK,
    "connect_read_pipe": _FILES,
    "connect_write_pipe": _FILES,
    "subprocess_exec": _PROCESS,
    "subprocess_shell": _PROCESS,
    "add_signal_handler": _SIGNALS,
    "remove_signal_handler": _SIGNALS,
}


class Outside(Generators):
    """The part of the loop that stands at the border."""

    def __init__(self, seed: int, options: Options) -> None:
        super().__init__(seed, options)
        self.refusals: list[OutsideWorld] = []
        """What was refused in this run; clear it to let the run pass all the same."""
        self.home = threading.get_ident()
        """The thread the run lives in."""

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Raise, and remember."""
        error = OutsideWorld(f"{what} reaches outside the simulation: {remedy}")
        self.refusals.append(error)
        raise error

    def call_soon_threadsafe(  # type: ignore[override]  # as `call_soon`
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        if threading.get_ident() != self.home:
            self.refuse(
                "call_soon_threadsafe from another thread",
                "run blocking work through anyio.to_thread or run_in_executor, which run inline",
            )
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # as `call_soon`
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> SimFuture:
        """Run the work inline, at a step of its own: whichever executor is named, none is used."""
        future = SimFuture(loop=self)
        self.call_soon(self._work, future, func, args)
        return future

    def _work(self, future: SimFuture, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        # As in a thread: no context variables of the caller, save whose step it is, and no loop.
        context = Context()
        context.run(OWNER.set, OWNER.get())
        events._set_running_loop(None)
        try:
            result = context.run(func, *args)
        except (KeyboardInterrupt, SystemExit, PowerCut):
            raise
        except StopIteration as error:
            future.set_exception(RuntimeError(f"the work raised {error!r}, which no future can carry"))
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            events._set_running_loop(self)

    def set_task_factory(self, factory: object) -> None:
        """Refuse another factory: the loop's own tasks carry number and owner."""
        if factory is not None:
            self.refuse("a task factory", "create tasks through the loop; name them to tell them apart")


def _refused(name: str, remedy: str) -> Callable[..., NoReturn]:
    # A plain function also where asyncio has a coroutine: it refuses before anything is awaited.
    def refuse(self: Outside, *_args: object, **_kwargs: object) -> NoReturn:
        self.refuse(f"loop.{name}()", remedy)

    refuse.__name__ = name
    return refuse


for _name, _remedy in _REFUSED.items():
    setattr(Outside, _name, _refused(_name, _remedy))
