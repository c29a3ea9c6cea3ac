"""The simulated network: one exchange core, three faces.

Attach ASGI apps to a `Wire` by host name; call them through a `DirectClient` (cheapest), or through
the transports for httpx and httpx2 (imported on first use). Links between names carry latency and
faults. Knows virtual time, and nothing of providers, billing or gateways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fakes.wire.asgi import ASGIApp, Message, Receive, Scope, Send
from fakes.wire.client_end import Timeouts
from fakes.wire.direct import Answer, DirectClient, Streamed
from fakes.wire.errors import (
    ConnectFailed,
    ConnectTimeout,
    PoolTimeout,
    ProtocolBroken,
    ReadFailed,
    ReadTimeout,
    RequestInvalid,
    WireError,
    WriteFailed,
    WriteTimeout,
)
from fakes.wire.faults import (
    Blackhole,
    FaultKind,
    HalfClose,
    LinkFault,
    Refuse,
    ResetAfter,
    ResetBefore,
    ResetDuring,
    Trickle,
)
from fakes.wire.latency import Fixed, Jitter, Latency, Percentiles
from fakes.wire.lifespan import Lifespan, LifespanFailed
from fakes.wire.link import Link, LinkCounts
from fakes.wire.network import AppError, Escape, FaultPlayed, Note, Wire

if TYPE_CHECKING:
    from fakes.wire.over_httpx import HttpxTransport
    from fakes.wire.over_httpx2 import Httpx2Transport

__all__ = [
    "ASGIApp",
    "Answer",
    "AppError",
    "Blackhole",
    "ConnectFailed",
    "ConnectTimeout",
    "DirectClient",
    "Escape",
    "FaultKind",
    "FaultPlayed",
    "Fixed",
    "HalfClose",
    "Httpx2Transport",
    "HttpxTransport",
    "Jitter",
    "Latency",
    "Lifespan",
    "LifespanFailed",
    "Link",
    "LinkCounts",
    "LinkFault",
    "Message",
    "Note",
    "Percentiles",
    "PoolTimeout",
    "ProtocolBroken",
    "ReadFailed",
    "ReadTimeout",
    "Receive",
    "Refuse",
    "RequestInvalid",
    "ResetAfter",
    "ResetBefore",
    "ResetDuring",
    "Scope",
    "Send",
    "Streamed",
    "Timeouts",
    "Trickle",
    "Wire",
    "WireError",
    "WriteFailed",
    "WriteTimeout",
]


def __getattr__(name: str) -> Any:
    # The HTTP libraries take a tenth of a second to import; whoever speaks directly never pays it.
    if name == "HttpxTransport":
        from fakes.wire.over_httpx import HttpxTransport

        return HttpxTransport
    if name == "Httpx2Transport":
        from fakes.wire.over_httpx2 import Httpx2Transport

        return Httpx2Transport
    raise AttributeError(name)
