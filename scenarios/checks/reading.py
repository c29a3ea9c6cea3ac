"""Reading bodies by declared paths, with exact numbers. Independent of the gateway's own reading."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import jsonpath_rfc9535

__all__ = ["first_at", "read_json"]


_EXACT = json.JSONDecoder(parse_float=Decimal)


def read_json(body: bytes) -> Any:
    """The parsed body; None where it is no JSON."""
    try:
        return _EXACT.decode(body.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return None


def first_at(path: str, body: Any) -> Any:
    """The first value at a JSONPath; None where there is none."""
    if not isinstance(body, dict | list):
        return None
    return next(iter(_compiled(path)(body)), None)


@lru_cache(maxsize=256)
def _compiled(path: str) -> Callable[[Any], list[Any]]:
    find = jsonpath_rfc9535.compile(path).find
    return lambda body: find(body).values()
