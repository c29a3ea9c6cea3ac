"""JSON as the fakes write it: compact, order kept, and numbers to the letter.

A provider may send `1e308`, `NaN` or more digits than a float has; `Raw` puts exactly such text into a
document, so that no number passes through a float on its way to the wire. What is read may come from anyone,
and whatever could be read can be written again: depth and letters included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["DEPTH_MAX", "Raw", "json_bytes", "parsed"]

DEPTH_MAX = 128
"""A body nested deeper is no JSON here, as with many a vendor's parser."""

_DEPTH_WRITTEN_MAX = DEPTH_MAX + 32  # what was read may stand inside an answer


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that stands in a document as it is."""

    text: str


class _Verbatim(Exception):
    """There is `Raw` text in the document, which the library's encoder cannot write."""


def _not_json(value: object) -> object:
    if isinstance(value, Raw):
        raise _Verbatim
    raise TypeError(f"{type(value).__name__} has no JSON")


_encode = json.JSONEncoder(separators=(",", ":"), default=_not_json).encode
_encode_plain = json.JSONEncoder(separators=(",", ":"), default=_not_json, ensure_ascii=False).encode


def json_bytes(value: object, *, ascii: bool = True) -> bytes:
    """The document; with `ascii` off, letters beyond ASCII stand as UTF-8 and not as escapes."""
    try:
        return (_encode if ascii else _encode_plain)(value).encode()
    except UnicodeEncodeError:  # Half a letter, which a caller sent escaped: UTF-8 has no bytes for it.
        return _encode(value).encode()
    except _Verbatim:  # Rare: an answer with a number to the letter is written by hand.
        return _written(value, 0).encode()


def _written(value: object, depth: int) -> str:
    if depth > _DEPTH_WRITTEN_MAX:
        raise ValueError(f"a document nested deeper than {_DEPTH_WRITTEN_MAX}")
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Mapping):
        inner = (f"{json.dumps(str(key))}:{_written(item, depth + 1)}" for key, item in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_written(item, depth + 1) for item in value) + "]"
    return json.dumps(value)


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def parsed(body: bytes) -> object:
    """The JSON value of a body, or None where it is not JSON, nested too deep, or `null`."""
    try:
        value: object = _decode(body.decode())
    except (ValueError, RecursionError):
        return None
    # Counting is cheap, and nearly always all there is to do.
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and _too_deep(value):
        return None
    return value


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        inner = [item for item in level if isinstance(item, (dict, list))]
        if not inner:
            return False
        level = [one for item in inner for one in (item.values() if isinstance(item, dict) else item)]
    return True
