"""Which route of a provider a request meets.

Kinds are tried in a fixed order (query, result, submit, passthrough), so that a billed path is never
shadowed by an unbilled one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from refgate.config.providers import Provider
from refgate.config.routes import QueryRoute, ResultRoute, SubmitRoute
from refgate.paths import Path

__all__ = ["Met", "MetPassthrough", "MetQuery", "MetResult", "MetSubmit", "route"]


@dataclass(frozen=True, slots=True)
class MetSubmit:
    index: int
    route: SubmitRoute
    captures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetQuery:
    route: QueryRoute
    captures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetResult:
    route: ResultRoute
    captures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetPassthrough:
    pass


Met = MetSubmit | MetQuery | MetResult | MetPassthrough


def route(provider: Provider, method: str, path: Path) -> Met | None:
    """The first route that matches, by kind and then as written; None where nothing does."""
    for query in provider.query:
        if (captures := query.match.match(method, path)) is not None:
            return MetQuery(query, captures)
    for result in provider.result:
        if (captures := result.match.match(method, path)) is not None:
            return MetResult(result, captures)
    for index, submit in enumerate(provider.submit):
        if (captures := submit.match.match(method, path)) is not None:
            return MetSubmit(index, submit, captures)
    if any(pattern.match(method, path) is not None for pattern in provider.passthrough):
        return MetPassthrough()
    return None
