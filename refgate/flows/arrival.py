"""What stands between the wire and a flow: who asks, for which account, for what, with which body.

`arrive` lists the stages in order; each ends the call with a `Refusal` or lets it on. Nothing here reaches
a provider, billing or the store, and nothing that is refused here has had an effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from refgate import headers
from refgate.config.providers import Provider
from refgate.config.settings import Caller, Settings
from refgate.errors import Code, Refusal
from refgate.flows.routes import Met, route
from refgate.headers import Pairs
from refgate.knock import Knock, account_of, bearer, body_of
from refgate.paths import BadPath, Path, query_text
from refgate.upstream import Outgoing

__all__ = ["Asked", "arrive"]

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_NO_METHODS = frozenset({"CONNECT", "TRACE"})  # TRACE would show the caller what the gateway sends


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may go on: every part of it checked."""

    account: str
    name: str  # of the provider
    provider: Provider
    met: Met
    method: str
    path: Path
    query: str
    headers: Pairs  # as they may cross, without the provider's credential
    key: str | None
    body: bytes

    def outgoing(self) -> Outgoing:
        """The same request, to the provider."""
        url = self.provider.base_url + self.path.text + (f"?{self.query}" if self.query else "")
        return Outgoing(self.method, url, (*self.headers, self.provider.auth.pair()), self.body)


async def arrive(settings: Settings, knock: Knock) -> Asked:
    """The stages that every request passes before its flow."""
    caller = _identity(settings, knock)
    path = _path(knock)
    name, provider, inner = _provider(settings, path)
    account = account_of(caller, knock)
    query = _query(knock)
    met = _route(provider, knock, inner)
    key = _key(knock)
    body = await body_of(settings, knock)
    crossing = headers.to_provider(
        knock.headers, extra=provider.headers.request, auth=provider.auth.pair()[0]
    )
    return Asked(account, name, provider, met, knock.method, inner, query, crossing, key, body)


def _identity(settings: Settings, knock: Knock) -> Caller:
    token = bearer(knock.header("authorization"))
    found: Caller | None = None
    for caller in settings.callers.values():
        # Every caller is compared, so that the time taken does not tell how far the search came.
        if token is not None and caller.key.matches(token):
            found = caller
    if found is None:
        raise Refusal(Code.UNAUTHORIZED, "the Authorization header carries no known caller key")
    return found


def _path(knock: Knock) -> Path:
    try:
        return Path.parse(knock.raw_path)
    except BadPath as bad:
        raise Refusal(Code.BAD_PATH, str(bad)) from None


def _provider(settings: Settings, path: Path) -> tuple[str, Provider, Path]:
    name = path.segments[0]
    provider = settings.providers.get(name)
    if provider is None or not provider.enabled:
        raise Refusal(Code.PROVIDER_UNKNOWN, "there is no such provider")
    return name, provider, path.below


def _query(knock: Knock) -> str:
    try:
        return query_text(knock.raw_query)
    except BadPath as bad:
        raise Refusal(Code.BAD_PATH, str(bad)) from None


def _route(provider: Provider, knock: Knock, path: Path) -> Met:
    if not _METHOD.fullmatch(knock.method) or knock.method in _NO_METHODS:
        raise Refusal(Code.METHOD_NOT_ALLOWED, "this method is not forwarded")
    met = route(provider, knock.method, path)
    if met is None:
        raise Refusal(Code.NOT_FOUND, "the provider has no such route here")
    return met


def _key(knock: Knock) -> str | None:
    key = knock.header("x-idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refusal(Code.BAD_REQUEST, "X-Idempotency-Key is 1 to 255 characters of printable ASCII")
    return key
