"""The gateway's own name for a submit, put where the provider will find or honour it.

The label is the call's id: the same on every sending of one call, and never another's. A caller may not
choose it, since a label of somebody else's would make their task look like his.
"""

from __future__ import annotations

import json
import re

from refgate.config.providers import Label
from refgate.errors import Code, Refusal
from refgate.flows.reading import document
from refgate.headers import Pairs

__all__ = ["labelled"]

_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*")


def labelled(label: Label | None, call_id: str, headers: Pairs, body: bytes) -> tuple[Pairs, bytes]:
    """The submit's headers and body with its label in one of them."""
    if label is None:
        return headers, body
    if label.header is not None:
        return (*(pair for pair in headers if pair[0] != label.header), (label.header, call_id)), body
    assert label.body is not None  # a label is in one place or the other
    return headers, _inserted(label.body, call_id, body)


def _inserted(field: str, call_id: str, body: bytes) -> bytes:
    """The body with one field more, and every other byte as it was."""
    try:
        asked = document(body)
    except ValueError:
        asked = None
    opening = _OPENING.match(body)
    if not isinstance(asked, dict) or opening is None:
        raise Refusal(Code.BAD_REQUEST, "the body of this route is a JSON object")
    if field in asked:
        raise Refusal(Code.BAD_REQUEST, f"the gateway sets '{field}' itself: leave it out")
    entry = json.dumps({field: call_id})[1:-1].encode()
    rest = body[opening.end() :]
    return body[: opening.end()] + entry + (b", " if asked else b"") + rest
