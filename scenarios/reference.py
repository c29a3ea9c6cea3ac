"""How a world starts the reference gateway: the one place where scenarios meet it.

The world's doors become the gateway's ports, one for one. The configuration is read anew only when it
differs from one read before: settings are frozen, so runs may share them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from starlette.applications import Starlette

from fakes.wire import ASGIApp
from refgate import Ports, Settings, create_app
from refgate.events import Event, line
from scenarios.doors import Doors

__all__ = ["Reference", "ports_of", "settings_of"]


@dataclass(frozen=True, slots=True)
class Reference:
    """The honest gateway."""

    def build(self, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> ASGIApp:
        return create_app(settings_of(config, environ), ports_of(doors))

    def drain(self, app: ASGIApp) -> None:
        assert isinstance(app, Starlette)
        app.state.gateway.drain()


def ports_of(doors: Doors) -> Ports:
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
    )


def settings_of(config: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The gateway's own reading of a configuration, which may refuse it."""
    return _settings(json.dumps(config), json.dumps(environ))


@lru_cache(maxsize=64)
def _settings(config: str, environ: str) -> Settings:
    return Settings.parse(json.loads(config), environ=json.loads(environ), source="<scenario>")
