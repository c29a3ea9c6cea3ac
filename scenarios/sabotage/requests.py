"""What providers are sent, and what is taken in for it: A15 ids outside the body · A19 the caller's secrets ·
A20 bodies without end · A21 somebody else's cookie.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

import httpx
from starlette.types import Receive

from refgate import app, gateway, headers
from refgate.answer import Answer
from refgate.app import _body
from refgate.config.providers import Provider
from refgate.config.settings import Settings
from refgate.errors import Code, Refusal
from refgate.flows import arrival
from refgate.flows.routes import Met, MetPassthrough, MetQuery, MetResult, route
from refgate.headers import Pairs, to_provider
from refgate.knock import Knock, body_of
from refgate.paths import Path
from refgate.upstream import Failure, Outgoing, Phases, Upstream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]


def _only_in_bodies(provider: Provider, method: str, path: Path) -> Met | None:
    """A request whose task id is not in its body is about no task: it is passed through."""
    met = route(provider, method, path)
    if isinstance(met, MetQuery | MetResult) and met.route.task_id.body is None:
        return MetPassthrough()
    return met


def _with(*names: str) -> Callable[..., Pairs]:
    """The caller's headers of these names go along."""

    def to_provider_with(given: Iterable[tuple[str, str]], *, extra: Sequence[str], auth: str) -> Pairs:
        pairs = tuple((name.lower(), value) for name, value in given)
        crossing = to_provider(pairs, extra=extra, auth=auth)
        return (*crossing, *(pair for pair in pairs if pair[0] in names))

    return to_provider_with


async def _all_of_it(settings: Settings, knock: Knock) -> bytes:
    """However much comes."""
    body = await knock.body(sys.maxsize)
    if body is None:
        raise Refusal(Code.BODY_TOO_LARGE, "the body is larger than any")
    return body


async def _as_much_as_is_named(
    headers: tuple[tuple[str, str], ...], receive: Receive, limit: int
) -> bytes | None:
    """The limit is held against what the caller says of the length, not against what comes."""
    length = next((value for name, value in headers if name == "content-length"), "0")
    if length.isdecimal() and int(length[:20]) > limit:
        return None
    return await _body(headers, receive, sys.maxsize)


class _WithCookies(Upstream):
    """A client that keeps what it is given to keep, and gives it back: one jar for all callers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport)
        self._jar: dict[str, str] = {}

    async def ask(self, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
        host = urlsplit(out.url).netloc
        if host in self._jar:
            out = Outgoing(out.method, out.url, (*out.headers, ("cookie", self._jar[host])), out.body)
        reply = await super().ask(out, phases=phases, body_max=body_max)
        if isinstance(reply, Answer):
            for name, value in reply.headers:
                if name == "set-cookie":
                    self._jar[host] = value.partition(";")[0]
        return reply


SABOTAGES = (
    Sabotage(
        "A15",
        "only-in-bodies",
        "a poll that names its task in the path or the query string is passed through as if it were none",
        Swap(arrival, route, _only_in_bodies),
        ("tenants-apart",),
    ),
    Sabotage(
        "A19",
        "authorization",
        "the caller's Authorization goes to the provider",
        Swap(headers, to_provider, _with("authorization", "proxy-authorization", "x-api-key")),
        ("canaries-contained",),
    ),
    Sabotage(
        "A19",
        "cookies",
        "the caller's cookies go to the provider",
        Swap(headers, to_provider, _with("cookie")),
        ("headers-clean",),
    ),
    Sabotage(
        "A19",
        "internal-headers",
        "the gateway's own headers of the caller go to the provider",
        Swap(headers, to_provider, _with("x-thread-id", "x-idempotency-key", "x-user-id", "x-forwarded-for")),
        ("headers-clean",),
    ),
    Sabotage(
        "A20",
        "no-limit",
        "a request's body is read to its end, however long it is",
        Swap(arrival, body_of, _all_of_it),
        ("refused-reaches-nobody",),
    ),
    Sabotage(
        "A20",
        "named-length-only",
        "a body is held to the limit only by the length that its caller names",
        Swap(app, _body, _as_much_as_is_named),
        ("refused-reaches-nobody",),
    ),
    Sabotage(
        "A21",
        "one-jar",
        "the upstream client keeps cookies, and sends them with whoever's request is next",
        Swap(gateway, Upstream, _WithCookies),
        ("headers-clean",),
    ),
)
