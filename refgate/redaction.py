"""Takes credentials out of whatever is written down: known ones wherever they stand, unknown ones by where.

The known ones come from where credentials themselves come from, the settings, and from the request in hand.
They are found as they are and as JSON, URLs or both write them. An unknown one is found by the name of its
header, of its URL parameter or its JSON member, or by its looks. Masking too much is the smaller mistake.

What is cut is cut afterwards, so that no half of a secret is left that nobody would recognise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property

__all__ = ["MASK", "Redaction", "is_credential"]

MASK = "[redacted]"

_PRESENTED_LEAST = 6  # what a caller presents may be a letter; masking each such letter would hide nothing
_SPELLED_MAX = 512  # what a caller presents may be as long as a header; looking for it costs its length
_LOOKS_LEAST = 19  # what is shorter is no key by its looks, and has a name only after "=" or in quotes
_TAIL_LEAST = 64  # the longest beginning of an unknown key that does not yet look like one

_HEADER = re.compile(
    r"(?:^|[-_])(?:auth|jwt|key|session|signature|token)(?:$|[-_])"
    r"|apikey|authori[sz]ation|cookie|credential|passw|secret"
)
_HARMLESS_HEADERS = frozenset({"idempotency-key", "x-idempotency-key", "sec-websocket-key", "surrogate-key"})

# All repetitions that may fail are bounded: a hostile body must not cost more than its length. What only
# looks ahead is for speed: most of a body is none of this, and is to be passed over quickly.
_NAMES = (
    r"(?:x-)?(?:goog-)?api[-_]?key|(?:proxy-)?authorization|(?:access|auth|id|refresh|session)[-_]?token"
    r"|(?:client|shared)?[-_]?secret(?:[-_]?(?:access)?[-_]?key)?|private[-_]?key|password|passwd|credentials?"
    r"|(?:set-)?cookie"
)
_IN_URL = re.compile(
    rf"([?&;](?:{_NAMES}|key|token|sig|signature|x-amz-(?:signature|credential|security-token))=)"
    r"""[^&\s"'<>\\#]+""",
    re.IGNORECASE,
)
_IN_JSON = re.compile(
    rf"""("(?=[acgiprsx])(?:{_NAMES})\\{{0,15}}"\s{{0,15}}:\s{{0,15}}(?P<quote>\\{{0,15}}"))"""
    r"(?:.*?)(?P<end>(?<!\\)(?P=quote)|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"\b(?=b)(bearer|basic)(\s{1,15}|%20|\+)[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)
_LOOKS = re.compile(
    r"\b(?:[spr]k-[A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{30,}|eyJ[\w-]{16,}(?:\.[\w-]+){0,2})", re.ASCII
)


def is_credential(header: str) -> bool:
    """Whether a header of this name carries what must not be shown: any word of it says so."""
    name = header.lower()
    return name not in _HARMLESS_HEADERS and _HEADER.search(name) is not None


class Redaction:
    """Knows the credentials in force. `plus` makes one that knows some more, for one request."""

    def __init__(self, secrets: Iterable[str], base: Redaction | None = None) -> None:
        self._secrets = sorted({one for one in secrets if one}, key=lambda one: (-len(one), one))
        self._base = base

    def plus(self, *presented: str | None) -> Redaction:
        """The same and what a caller presented, whether anybody knows it or not."""
        new = [one for one in presented if one and len(one) >= _PRESENTED_LEAST and one not in self._secrets]
        return Redaction(new, self) if new else self

    def known(self, text: str) -> str:
        """The text without any known credential, however JSON or a URL may have spelled it."""
        if self._base is not None:
            text = self._base.known(text)
        if self._secrets and ("\\" in text or "%" in text) and self._spelled(text):
            text = self._spellings.sub(MASK, text)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def text(self, text: str) -> str:
        """The text without known credentials, and without what looks like one or is named as one."""
        text = self.known(text)
        if len(text) < _LOOKS_LEAST and "=" not in text and '"' not in text:
            return text  # as nearly all names are
        text = _IN_URL.sub(rf"\1{MASK}", text)
        text = _IN_JSON.sub(rf"\1{MASK}\g<end>", text)
        return _LOOKS.sub(MASK, _SCHEME.sub(rf"\1\2{MASK}", text))

    def headers(self, given: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """In order of their names; those that carry credentials without their values."""
        return tuple(
            sorted(
                (self.known(name.lower()), MASK if is_credential(name) else self.text(value))
                for name, value in given
            )
        )

    def body(self, raw: bytes, *, most: int, whole: bool = True) -> tuple[str, bool]:
        """As text of at most so many bytes, and whether something is missing.

        Of a body that was not read to its end, the end may be the beginning of a secret: it is left out.
        """
        reach = self.reach(most)
        text = self.text(raw[:reach].decode("utf-8", "replace"))
        if not whole or len(raw) > reach:
            text, whole = text[: max(len(text) - self._tail, 0)], False
        data = text.encode()
        if len(data) > most:
            return data[:most].decode("utf-8", "ignore"), True
        return text, not whole

    def reach(self, most: int) -> int:
        """How much of a body `body` looks at: twice what is shown, as a mask may be shorter than a secret."""
        return 2 * most + self._tail

    @cached_property
    def _tail(self) -> int:
        least = _TAIL_LEAST if self._base is None else self._base._tail
        longest = len(self._secrets[0]) if self._secrets else 0
        return max(least, 6 * min(longest, _SPELLED_MAX))  # six characters spell one in JSON

    @cached_property
    def _spelled(self) -> Callable[[str], object]:
        """Whether the text spells any character in a way that a secret could be hidden by."""
        marks = r"\\u[0-9a-f]{4}|%[0-9a-f]{2}"
        if any(mark in secret for secret in self._secrets for mark in '"\\/'):
            marks += r'|\\["\\/]'
        return re.compile(marks, re.IGNORECASE).search

    @cached_property
    def _spellings(self) -> re.Pattern[str]:
        sought = [one for one in self._secrets if len(one) <= _SPELLED_MAX]
        ways = ["".join(map(_spelling, secret)) for secret in sought]
        return re.compile("|".join(ways or ["(?!)"]))


def _spelling(character: str) -> str:
    """A pattern for a character as itself, escaped by JSON (once or again), or by a URL (once or again)."""
    units = character.encode("utf-16-be", "surrogatepass")
    json_way = "".join(rf"\\{{1,15}}u(?i:{units[i : i + 2].hex()})" for i in range(0, len(units), 2))
    url_way = "".join(f"%(?:25){{0,4}}(?i:{byte:02x})" for byte in character.encode("utf-8", "surrogatepass"))
    itself = rf"\\{{0,15}}{re.escape(character)}" if character in '"\\/' else re.escape(character)
    return f"(?:{itself}|{json_way}|{url_way})"
