"""What a submit leaves behind so that it could be sent again, the same: its method, query string and headers.

Kept with the call's captures, under names that no pattern can capture. Only headers that may cross are in
it, so that no caller's credential is ever stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from refgate.headers import Pairs

__all__ = ["captured", "headers_of", "method_of", "query_of", "remember"]

_METHOD = "?method"
_QUERY = "?query"
_HEADERS = "?headers"


def remember(captures: Mapping[str, str], *, method: str, query: str, headers: Pairs) -> dict[str, str]:
    written = json.dumps(headers, separators=(",", ":"))
    return {**captures, _METHOD: method, _QUERY: query, _HEADERS: written}


def captured(memory: Mapping[str, str]) -> dict[str, str]:
    """Only what the route's pattern captured."""
    return {name: value for name, value in memory.items() if not name.startswith("?")}


def method_of(memory: Mapping[str, str]) -> str:
    return memory.get(_METHOD, "POST")


def query_of(memory: Mapping[str, str]) -> str:
    return memory.get(_QUERY, "")


def headers_of(memory: Mapping[str, str]) -> Pairs:
    return tuple((name, value) for name, value in json.loads(memory.get(_HEADERS, "[]")))
