"""Tool-call ids that bring a provider's private mark back.

Gemini wants the signature of a call returned with it, and no other protocol has a place for that. So the
caller is given an id that holds both; it comes back with the conversation and is taken apart again.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["join", "split"]

_MARK = "__sig__"


def join(call_id: str, signature: str | None) -> str:
    """The id as the caller sees it: letters, digits, `_` and `-` only, as strict providers want."""
    if signature is None:
        return call_id
    coded = base64.urlsafe_b64encode(signature.encode("utf-8", "surrogatepass"))  # it is theirs: any letters
    return call_id + _MARK + coded.decode().rstrip("=")


def split(shown: str) -> tuple[str, str | None]:
    """The provider's id and signature. An id that was not made by `join` is itself."""
    call_id, mark, coded = shown.partition(_MARK)
    if not mark:
        return shown, None
    try:
        plain = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        signature = plain.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return shown, None
    return call_id, signature
