"""Another provider's mark on a thought, carried through a protocol whose marks are base64 of any bytes.

The caller gives back what it was given. A mark that was not made here is Gemini's own: it means nothing to
any other provider, and is taken off before one hears the conversation.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["cover", "standard", "uncover"]

_SIGNED = b"refgate/signed:"
_REDACTED = b"refgate/redacted:"


def cover(signature: str | None, redacted: str | None) -> str:
    """The `thoughtSignature` that stands for another provider's."""
    kind, text = (_REDACTED, redacted) if redacted is not None else (_SIGNED, signature or "")
    return base64.b64encode(kind + text.encode("utf-8", "surrogatepass")).decode()


def uncover(mark: str) -> tuple[str | None, str | None]:
    """Signature and redacted thought, where `cover` made the mark. Either base64 alphabet: SDKs change it."""
    try:
        plain = base64.b64decode(standard(mark), validate=True)
        if plain.startswith(_SIGNED):
            return plain.removeprefix(_SIGNED).decode("utf-8", "surrogatepass"), None
        if plain.startswith(_REDACTED):
            return None, plain.removeprefix(_REDACTED).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        pass  # no base64 text: nothing that was made here
    return None, None


def standard(coded: str) -> str:
    """base64 in the alphabet and with the padding that other protocols want."""
    plain = coded.replace("-", "+").replace("_", "/").rstrip("=")
    return plain + "=" * (-len(plain) % 4)
