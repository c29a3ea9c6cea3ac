"""Which chat route a request meets, by method and path alone; and the protocol its caller speaks.

The paths are those of the vendors, so that their SDKs need nothing but another base URL. Gemini's callers
name the model, and whether they want a stream, in the path. Knows no model and no backend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from refgate.dialects.canonical import Protocol
from refgate.headers import Pairs

__all__ = ["PREFIXES", "Op", "Route", "route"]

PREFIXES = ("/v1/", "/v1beta/")
"""What all these paths begin with."""

_CALL = re.compile(r"/v1(?:beta)?/models/(.{1,256}:[A-Za-z]{1,64})")
_LIST = re.compile(r"/v1(?:beta)?/models/?")
_ONE = re.compile(r"/v1(?:beta)?/models/(.{1,256})")


class Op(StrEnum):
    CHAT = "chat"
    EMBED = "embed"
    MODELS = "models"


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is what follows `/models/`, decoded: of one model, or of a call in Gemini's way. `protocol` is
    also that of refusals; `op` is None where there is no such route.
    """

    op: Op | None
    protocol: Protocol
    name: str | None = None


_POSTS = {
    "/v1/chat/completions": Route(Op.CHAT, Protocol.OPENAI_CHAT),
    "/v1/responses": Route(Op.CHAT, Protocol.OPENAI_RESPONSES),
    "/v1/messages": Route(Op.CHAT, Protocol.ANTHROPIC),
    "/v1/embeddings": Route(Op.EMBED, Protocol.OPENAI_EMBEDDINGS),
}


def route(method: str, path: str, headers: Pairs) -> Route:
    """`path` is as it came, undecoded."""
    known = _POSTS.get(path)
    if known is not None and method == "POST":
        return known
    if method == "POST" and (found := _CALL.fullmatch(path)):
        return Route(Op.CHAT, Protocol.GEMINI, unquote(found[1]))
    protocol = known.protocol if known is not None else _spoken(path, headers)
    if method == "GET" and _LIST.fullmatch(path):
        return Route(Op.MODELS, protocol)
    if method == "GET" and (found := _ONE.fullmatch(path)):
        return Route(Op.MODELS, protocol, unquote(found[1]))
    return Route(None, protocol)


def _spoken(path: str, headers: Pairs) -> Protocol:
    """The protocol of a path that several vendors have: their SDKs give themselves away."""
    names = {name for name, _ in headers}
    if "anthropic-version" in names:
        return Protocol.ANTHROPIC
    if path.startswith("/v1beta/") or "x-goog-api-key" in names:
        return Protocol.GEMINI
    return Protocol.OPENAI_CHAT
