"""Headers: what crosses the gateway, in both directions, and whether it is true of the body it is on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from fakes.journal import Headers
from scenarios.checks.chat_reach import CHAT_ANSWER_HEADERS, chat_request_headers
from scenarios.checks.chat_view import is_chat
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import header
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Provider
from scenarios.history import Got, History

__all__ = ["CHECKS", "headers_clean"]

_TO_PROVIDER = frozenset({"accept", "accept-language", "content-type", "prefer"})
_OF_THE_HOP = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "transfer-encoding", "user-agent"}
)
"""Made anew on every connection: the gateway's own, never the caller's."""

_TO_CALLER = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "ratelimit",
    "ratelimit-*",
    "retry-after",
    "x-idempotent-replay",
    "x-proxy-call-id",
    "x-ratelimit-*",
    "x-refgate-error",
    "x-request-id",
)
_OWN_VALUES = (
    ("connection", ("close", "keep-alive")),
    ("server", ("refgate", "uvicorn")),
    ("transfer-encoding", ("chunked",)),
)
_INFLATED_MAX = 64 * 1024 * 1024


@check("headers-clean", "secrets")
def headers_clean(history: History, declared: Declared, tally: Tally) -> None:
    """A provider sees only headers of the declared list, its own key and what the connection needs: no
    cookie, no credential, no internal header of a caller. A caller sees no cookie and no hop-by-hop header
    of a provider, and the length and encoding that an answer names are those of its body."""
    view = View.of(history, declared)
    to_provider = {name: _Allowed(_upstream(provider)) for name, provider in declared.providers.items()}
    to_caller = {name: _Allowed(_downstream(provider)) for name, provider in declared.providers.items()}
    to_anybody, to_chatters = _Allowed(_TO_CALLER), _Allowed(CHAT_ANSWER_HEADERS)
    for name, backend in declared.chat.backends.items() if declared.chat is not None else ():
        own = (*sorted(_TO_PROVIDER | _OF_THE_HOP), *chat_request_headers(backend))
        to_provider[name] = _Allowed(own)
    for served in view.served:
        known = to_provider.get(served.received.at)
        if known is None:
            continue
        strangers = known.strangers(served.received.headers)
        if not tally.keeps(not strangers):
            tally.breach(f"{served.received.at} was sent the headers {', '.join(strangers)}", served.received)
    for exchange in view.exchanges:
        got = exchange.got
        if got is None or got.status is None:
            continue
        if is_chat(exchange):
            allowed = to_chatters
        elif exchange.sent.path.startswith("/api/proxy/"):
            allowed = to_caller.get(exchange.sent.provider or "", to_anybody)
        else:
            continue
        tally.saw()
        strangers = allowed.strangers(got.headers)
        if strangers:
            tally.breach(f"a caller was handed the headers {', '.join(strangers)}", exchange.sent, got)
        if [name for name, _ in got.headers].count("content-length") > 1:
            tally.breach("an answer names its length twice", exchange.sent, got)
        wrong = _untrue(got, exchange.says) if got.complete and exchange.sent.method != "HEAD" else None
        if wrong is not None:
            tally.breach(f"the headers of an answer are not true of its body: {wrong}", exchange.sent, got)


def _upstream(provider: Provider) -> tuple[str, ...]:
    own = (provider.auth_header, provider.label_header)
    return (*sorted(_TO_PROVIDER | _OF_THE_HOP), *provider.request_headers, *(name for name in own if name))


def _downstream(provider: Provider) -> tuple[str, ...]:
    return (*_TO_CALLER, *provider.answer_headers)


class _Allowed:
    """An allow-list of names and globs. Sets of names repeat, so each is looked at once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def strangers(self, headers: Headers) -> tuple[str, ...]:
        names = tuple([name for name, _ in headers])
        found = self._known.get(names)
        if found is None:
            found = self._known[names] = tuple(name for name in dict.fromkeys(names) if not self._has(name))
        if not found:
            return found
        own = [name for name, values in _OWN_VALUES if header(headers, name) in values]
        return tuple(name for name in found if name not in own)

    def _has(self, name: str) -> bool:
        return any(fnmatchcase(name.lower(), pattern) for pattern in self._patterns)


def _untrue(got: Got, says: Mapping[str, str]) -> str | None:
    length = says.get("content-length")
    if length is not None and length != str(len(got.body)) and got.status not in (204, 304):
        return f"content-length {length}, and {len(got.body)} bytes"
    if length is not None and "transfer-encoding" in says:
        return "a length and chunks"
    encoding = (says.get("content-encoding") or "identity").lower()
    if encoding in ("gzip", "deflate") and got.body and not _inflates(got.body):
        return f"content-encoding {encoding}, and the body is not encoded"
    is_json = says.get("content-type", "").startswith("application/json")
    if encoding == "identity" and is_json and got.body[:2] == b"\x1f\x8b":
        return "an encoded body, and nothing says so"
    return None


def _inflates(body: bytes) -> bool:
    for window in (47, -15):  # gzip or zlib framing, then raw deflate
        reader = zlib.decompressobj(window)
        try:
            reader.decompress(body, _INFLATED_MAX)
        except zlib.error:
            continue
        if reader.eof or reader.unconsumed_tail:
            return True
    return False


CHECKS: tuple[Check, ...] = (headers_clean,)
