"""Which path a request really asks for, and which route pattern it meets.

A path is decoded once, segment by segment, and written out again in one canonical form, so that what is
matched is what is sent. Whatever could mean two things to two readers (empty and dot segments,
encoded separators, double encoding, control characters) is refused, never repaired: otherwise some
spelling of a billed path would reach the provider as an unbilled one. Knows nothing of providers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

__all__ = ["BadPath", "Path", "Pattern", "fill", "fill_plain", "placeholders", "query_text"]

_PATH_MAX = 4096
_SAFE = "-._~!$&'()*+,;=:@"  # RFC 3986 pchar, save the percent sign
_USUAL = re.compile(rb"(/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*)+/?")
# Nothing encoded, no segment that begins with a dot: written in the canonical form already.
_DOTS = re.compile(r"\.{1,2}(;.*)?\Z", re.DOTALL)  # `..;x` is `..` to servers that know path parameters
_ENCODED_AGAIN = re.compile(r"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*\Z")  # printable ASCII without space and `#`
_NAME = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class BadPath(ValueError):
    """The path (or query string) could be read in more than one way."""


@dataclass(frozen=True, slots=True)
class Path:
    """Decoded segments and the one way they are written. `/a/b/` has an empty last segment."""

    segments: tuple[str, ...]
    text: str

    @classmethod
    def parse(cls, raw: bytes) -> Path:
        """Reads the raw bytes of a path, as they came on the wire. Raises BadPath on any trick."""
        if len(raw) > _PATH_MAX:
            raise BadPath(f"the path is longer than {_PATH_MAX} bytes")
        if _USUAL.fullmatch(raw):
            text = raw.decode("ascii")
            return cls(tuple(text[1:].split("/")), text)
        if not raw.startswith(b"/"):
            raise BadPath("the path does not begin with a slash")
        if _BROKEN_ESCAPE.search(raw):
            raise BadPath("the path has a percent sign that escapes nothing")
        parts = raw[1:].split(b"/")
        segments = tuple(_segment(part) for part in parts)
        if any(segment == "" for segment in segments[:-1]):
            raise BadPath("the path has an empty segment")
        return cls.of(segments)

    @classmethod
    def of(cls, segments: tuple[str, ...]) -> Path:
        """Segments that are decoded already, and known to be free of tricks."""
        return cls(segments, "/" + "/".join(quote(segment, safe=_SAFE) for segment in segments))

    @property
    def below(self) -> Path:
        """What is below the first segment, as a path of its own."""
        return Path(self.segments[1:] or ("",), "/" + self.text[1:].partition("/")[2])

    @property
    def significant(self) -> tuple[str, ...]:
        """The segments that patterns look at: a trailing slash makes no difference to most servers."""
        return self.segments[:-1] if self.segments[-1] == "" else self.segments


def _segment(part: bytes) -> str:
    try:
        segment = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise BadPath("the path is not UTF-8") from None
    if any(ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F for char in segment):
        raise BadPath("the path has a control character")
    if "/" in segment or "\\" in segment:
        raise BadPath("the path has an encoded slash or a backslash")
    if _DOTS.match(segment):
        raise BadPath("the path has a dot segment")
    if _ENCODED_AGAIN.search(segment):
        raise BadPath("the path is encoded twice")
    return segment


def query_text(raw: bytes) -> str:
    """The query string as it goes on: unchanged, and only of characters that every server reads alike."""
    if len(raw) > 2 * _PATH_MAX:
        raise BadPath(f"the query string is longer than {2 * _PATH_MAX} bytes")
    if not _QUERY.match(raw):
        raise BadPath("the query string has a character that must be encoded")
    return raw.decode("ascii")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`METHOD /path`: `*` is one segment, `**` any number, `{name}` one segment that is captured."""

    method: str  # or ANY
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        method, _, path = text.partition(" ")
        if not re.fullmatch(r"[A-Z]+", method) or not path.startswith("/"):
            raise ValueError(f"{text!r} is not of the form 'METHOD /path'")
        segments = tuple(path[1:].split("/")) if path != "/" else ()
        for segment in segments:
            if segment == "":
                raise ValueError(f"{text!r} has an empty segment")
            plain = segment in ("*", "**") or _NAME.fullmatch(segment)
            if not plain and re.search(r"[*{}%\\]|\A\.{1,2}\Z", segment):
                raise ValueError(f"{segment!r} in {text!r} is neither plain text, '*', '**' nor '{{name}}'")
        if segments.count("**") > 1:
            raise ValueError(f"{text!r} has more than one '**'")
        names = [name for segment in segments for name in _NAME.findall(segment)]
        if len(names) != len(set(names)):
            raise ValueError(f"{text!r} captures one name twice")
        return cls(method, segments)

    def __str__(self) -> str:
        return f"{self.method} /{'/'.join(self.segments)}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(_NAME.findall("/".join(self.segments)))

    def match(self, method: str, path: Path) -> dict[str, str] | None:
        """What the names stand for in this request, or None where it is not of this pattern."""
        if self.method not in ("ANY", method):
            return None
        given = path.significant
        if "**" not in self.segments:
            return _aligned(self.segments, given)
        split = self.segments.index("**")
        head, tail = self.segments[:split], self.segments[split + 1 :]
        if len(given) < len(head) + len(tail):
            return None
        first = _aligned(head, given[: len(head)])
        last = _aligned(tail, given[len(given) - len(tail) :])
        return None if first is None or last is None else first | last

    def sample(self) -> Path:
        """Some path of this pattern, for checking at start that one pattern leads to another."""
        parts = ["x" if s in ("*", "**") or _NAME.fullmatch(s) else s for s in self.segments]
        return Path.parse(("/" + "/".join(quote(part, safe=_SAFE) for part in parts)).encode())


def _aligned(pattern: tuple[str, ...], given: tuple[str, ...]) -> dict[str, str] | None:
    if len(pattern) != len(given):
        return None
    captures: dict[str, str] = {}
    for want, have in zip(pattern, given, strict=True):
        if want[0] == "{":  # a name: plain text holds no braces
            captures[want[1:-1]] = have
        elif want not in (have, "*"):
            return None
    return captures


def placeholders(template: str) -> frozenset[str]:
    """The names that `fill` needs for this template."""
    return frozenset(_NAME.findall(template))


def fill_plain(template: str, values: Mapping[str, str]) -> str:
    """A template with its `{names}` filled in as they are, in one pass."""
    return _NAME.sub(lambda name: values[name[1]], template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """A path template with its `{names}` filled in, encoded for where they stand.

    `{submit_path}` is a whole path, already in canonical form; anything else is one segment or one
    value of the query string.
    """

    def value(name: re.Match[str]) -> str:
        text = values[name[1]]
        if name[1] == "submit_path":
            return text
        # `quote` leaves dots alone, and a dot segment is a step up the tree.
        return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")

    return _NAME.sub(value, template)
