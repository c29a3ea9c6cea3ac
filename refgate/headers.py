"""Which headers may cross the gateway, in which direction.

Allow-lists both ways: a header that nobody named does not cross. What must never cross (hop-by-hop
headers and those a `Connection` header names, credentials, cookies, anything about the length or the
encoding of a body that the gateway has read) stays behind even where a configuration asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

__all__ = ["AGENT", "Pairs", "may_be_allowed", "to_caller", "to_provider"]

Pairs = tuple[tuple[str, str], ...]
"""Header pairs: lower-case names, order kept."""

AGENT = "refgate"

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
_OF_THE_BODY = frozenset(
    {
        "host",
        "content-length",
        "content-encoding",
        "accept-encoding",
        "expect",
    }
)
_CREDENTIALS = frozenset(
    {
        "authorization",
        "cookie",
        "cookie2",
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
        "authentication-info",
    }
)
_OURS = frozenset(
    {
        "x-thread-id",
        "x-idempotency-key",
        "x-idempotent-replay",
        "x-proxy-call-id",
        "x-refgate-error",
    }
)
_OF_THE_CONNECTION = frozenset(
    {
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "alt-svc",
        "strict-transport-security",
    }
)
_NEVER = _HOP_BY_HOP | _OF_THE_BODY | _CREDENTIALS | _OURS | _OF_THE_CONNECTION

_BREAKS = re.compile("[\r\n\0]")

_REQUEST = ("accept", "accept-language", "content-type", "prefer")
_ANSWER = (
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "etag",
    "last-modified",
    "ratelimit",
    "ratelimit-*",
    "retry-after",
    "x-ratelimit-*",
    "x-request-id",
)


def to_provider(given: Iterable[tuple[str, str]], *, extra: Sequence[str], auth: str) -> Pairs:
    """The caller's headers as the provider may see them; never one of the name that the credential has.

    An answer is asked for unencoded, so that a body limit counts what it reads.
    """
    kept = [pair for pair in _crossing(given, (*_REQUEST, *extra)) if pair[0] != auth]
    if not any(one == "accept" for one, _ in kept):
        kept.append(("accept", "*/*"))
    return (*kept, ("accept-encoding", "identity"), ("user-agent", AGENT))


def to_caller(given: Iterable[tuple[str, str]], *, extra: Sequence[str]) -> Pairs:
    """The provider's headers as the caller may see them."""
    return _crossing(given, (*_ANSWER, *extra))


def may_be_allowed(pattern: str) -> bool:
    """Whether a configuration may add this name (or glob) to an allow-list: it must name something."""
    return pattern not in _NEVER and bool(pattern.strip("*?"))


def _crossing(given: Iterable[tuple[str, str]], allowed: tuple[str, ...]) -> Pairs:
    listed = _listed(allowed)
    kept: list[tuple[str, str]] = []
    named: set[str] = set()
    for name, value in given:
        name = name.lower()
        if name == "connection":
            named.update(token.strip().lower() for token in value.split(","))
        elif listed(name) and name not in _NEVER and not _BREAKS.search(value):
            kept.append((name, value))
    return tuple([pair for pair in kept if pair[0] not in named] if named else kept)


@lru_cache(maxsize=256)
def _listed(allowed: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether an allow-list of names and globs has a name. Most names come again and again."""
    return lru_cache(maxsize=1024)(lambda name: any(fnmatchcase(name, pattern) for pattern in allowed))
