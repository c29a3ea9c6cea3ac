"""The gateway for real: uvicorn, real sockets, the real clock, and a stop that loses nothing.

Told to stop, a replica says so on /readyz, refuses new calls with 503 `draining`, finishes those in hand
within `listen.drain`, delivers what it owes billing, and only then closes. Told twice, it hurries.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO

import uvicorn
import yaml

from refgate.app import create_app
from refgate.config.settings import Settings
from refgate.doorway import Doorway
from refgate.events import Event, FewFiles, Listening
from refgate.gateway import Gateway
from refgate.logs import LibraryLog, event_log
from refgate.ports import Ports
from refgate.requestlog.spoolfile import open_spool
from refgate.sockets import real_transport
from refgate.store.database import open_database

__all__ = ["Server", "check", "production_ports", "serve", "server"]

_KEEP_ALIVE_S = 15
_SWEEPS = 64  # connections beside those of callers' requests, so that a full house does not stop the sweep
_FILES = 128  # open at once, beside the two connections of each call: the store, the log, calls of nobody
_CLOSING_S = 2  # for answers on their way, once the last call is finished or cut off
_HEADERS_MAX = 64 * 1024
_LIBRARIES = ("uvicorn", "asyncio", "aiohttp")


def check(settings: Settings) -> int:
    """Prints the settings that are in force, defaults filled in; a secret only by where it comes from."""
    yaml.safe_dump(settings.effective(), sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


def serve(settings: Settings) -> int:
    """Serves until it is told to stop. The exit code: 0 after a stop, 1 where it could not start."""
    running = server(settings, sys.stderr)
    try:
        asyncio.run(running.serve())
    except SystemExit:  # uvicorn's way to say that the start failed
        return 1
    return 0 if running.started else 1


def server(settings: Settings, log: TextIO) -> Server:
    """The server, not yet started."""
    ports = production_ports(settings, event_log(log, settings.secrets()))
    app = create_app(settings, ports)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = [LibraryLog(log, settings.secrets(), ports.clock)]
        library.propagate = False
    config = uvicorn.Config(
        app,
        host=settings.listen.host,
        port=settings.listen.port,
        lifespan="on",
        http=Doorway,
        ws="none",
        log_config=None,
        access_log=False,  # it would write whole URLs, queries included
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CLOSING_S,
        h11_max_incomplete_event_size=_HEADERS_MAX,
    )
    return Server(config, app.state.gateway, ports)


def production_ports(settings: Settings, sink: Callable[[Event], None]) -> Ports:
    """The doors to the real outside. Ids sort by time and are not to be guessed."""
    return Ports(
        clock=_now_us,
        ids=lambda prefix: f"{prefix}_{_now_us():013x}{secrets.token_hex(8)}",
        chance=random.Random(secrets.randbits(64)),
        transport=real_transport(connections_max=settings.limits.requests + _SWEEPS),
        database=lambda: open_database(settings.store.path),
        sink=sink,
        spool=lambda: open_spool(Path(settings.store.path)),
    )


def _now_us() -> int:
    return time.time_ns() // 1000


def _files_allowed(wanted: int) -> int:
    """How many files may be open at once: so many, where the system lets a process raise its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):
        return soft
    return raised


class Server(uvicorn.Server):
    """uvicorn's server, with a stop in two steps: no new calls, then no new connections."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, ports: Ports) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._ports = ports
        self._leaving: asyncio.Task[None] | None = None
        self._hurrying: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        wanted = 2 * self._gateway.settings.limits.requests + _SWEEPS + _FILES
        if (allowed := _files_allowed(wanted)) < wanted:
            self._ports.sink(FewFiles(t_us=self._ports.clock(), allowed=allowed, wanted=wanted))
        await super().startup(sockets)
        if self.started:
            host = self._gateway.settings.listen.host
            self._ports.sink(Listening(t_us=self._ports.clock(), host=host, port=self.port))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: drain. A second one: cut off what is in hand. Ctrl-C again: leave everything as it is.
        None is raised again once the stop is done."""
        if self._loop is None:
            self.should_exit = True
        elif not self._gateway.gate.draining:
            self._loop.call_soon_threadsafe(self.drain)
        elif sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        else:
            self._loop.call_soon_threadsafe(self.hurry)

    def drain(self) -> None:
        """Refuses new calls; ends when those in hand have ended, or their time is over."""
        if self._leaving is None:
            self._gateway.drain()
            self._leaving = asyncio.create_task(self._leave(), name="leave")

    def hurry(self) -> None:
        """Waits no longer for calls in hand: their callers are told that nobody knows."""
        if self._hurrying is None:
            self._hurrying = asyncio.create_task(self._hurry(), name="hurry")

    async def _hurry(self) -> None:
        await self._gateway.hurry()
        self.should_exit = True

    async def _leave(self) -> None:
        await self._gateway.finish()
        self.should_exit = True
