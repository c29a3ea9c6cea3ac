"""What a gateway is handed and what it must give back: the seam between the world and any gateway.

The world knows a gateway only as something that builds an ASGI app from a configuration, an environment
and its doors to the outside. The reference gateway and each sabotaged one are such builders.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fakes.wire import ASGIApp

if TYPE_CHECKING:
    import httpx

__all__ = ["Doors", "Gateway"]


@dataclass(frozen=True, slots=True)
class Doors:
    """Every door to the outside of one incarnation of one replica. Wall time is microseconds since 1970."""

    clock: Callable[[], int]
    ids: Callable[[str], str]  # prefix -> an id that nobody else will make
    chance: random.Random
    transport: httpx.AsyncBaseTransport
    database: Callable[[], sqlite3.Connection]
    sink: Callable[[str, str], None]  # the kind of an event, and the event as it would be logged
    spool: list[bytes]  # the replica's own memory beside the store: it outlives incarnations


class Gateway(Protocol):
    """Builds one replica. It is sent to other processes, so it must be a value that pickles."""

    def build(self, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> ASGIApp: ...

    def drain(self, app: ASGIApp) -> None:
        """Tell an app that it is going to be stopped: it finishes what it has and takes nothing new."""
