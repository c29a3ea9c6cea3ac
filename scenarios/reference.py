"""How a world starts the reference gateway: the one place where scenarios meet it.

The world's doors become the gateway's ports, one for one. The configuration is read anew only when it
differs from one read before: settings are frozen, so runs may share them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from starlette.applications import Starlette

from fakes.wire import ASGIApp
from refgate import Ports, Settings, create_app
from refgate.events import Event, line
from refgate.ports import SpoolFull
from scenarios.world.doors import Doors

__all__ = ["ListSpool", "Reference"]

_SPOOL_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """The honest gateway."""

    def build(self, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> ASGIApp:
        return create_app(_settings_of(config, environ), _ports_of(doors))

    def drain(self, app: ASGIApp) -> None:
        assert isinstance(app, Starlette)
        app.state.gateway.drain()


def _ports_of(doors: Doors) -> Ports:
    """The gateway's ports, opening on the world's doors."""

    def sink(event: Event) -> None:
        doors.sink(event.kind, line(event))

    return Ports(
        clock=doors.clock,
        ids=doors.ids,
        chance=doors.chance,
        transport=doors.transport,
        database=doors.database,
        sink=sink,
        spool=lambda: ListSpool(doors.spool),
    )


class ListSpool:
    """The gateway's spool on a list, which keeps what was in it at a power cut."""

    def __init__(self, records: list[bytes], *, most: int = _SPOOL_MAX) -> None:
        self._records = records
        self._room = most - sum(map(len, records))

    def append(self, record: bytes) -> None:
        if len(record) > self._room:
            raise SpoolFull
        self._records.append(record)
        self._room -= len(record)

    def read(self) -> list[bytes]:
        return list(self._records)

    def drop(self, count: int) -> None:
        self._room += sum(map(len, self._records[:count]))
        del self._records[:count]

    def replace(self, records: Sequence[bytes]) -> None:
        self._room += sum(map(len, self._records)) - sum(map(len, records))
        self._records[:] = records

    def close(self) -> None:
        """The list stays."""


def _settings_of(config: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The gateway's own reading of a configuration, which may refuse it."""
    return _settings(json.dumps(config), json.dumps(environ))


@lru_cache(maxsize=64)
def _settings(config: str, environ: str) -> Settings:
    return Settings.parse(json.loads(config), environ=json.loads(environ), source="<scenario>")
