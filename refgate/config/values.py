"""The kinds of value a configuration is made of: spans, sizes, amounts, secrets, patterns, JSONPaths.

Each is read from its written form, refuses what is not exact, and is written out again by the effective
settings. A secret is never written: only where it came from.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import jsonpath_rfc9535
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from refgate.money import NANOS_PER_USD, parse_nanos, parse_price
from refgate.paths import Pattern

__all__ = [
    "Amount",
    "BaseUrl",
    "Duration",
    "Given",
    "HeaderName",
    "JsonPath",
    "JsonPathText",
    "Many",
    "Name",
    "Price",
    "RoutePattern",
    "Secret",
    "SecretValue",
    "Size",
    "SizeOrNone",
    "Strict",
    "Template",
]

_SPANS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(us|ms|s|m|h|d)")
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"(\d{1,9})(B|kB|MB|GB|KiB|MiB|GiB)")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Strict(BaseModel):
    """A part of the configuration: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Given:
    """What reading a configuration may look at beside the text itself."""

    environ: Mapping[str, str]
    folder: Path  # that a secret's file is relative to


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("value", "{message}", {"message": message})


def _reader(read: Callable[[Any], Any]) -> BeforeValidator:
    def checked(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise _wrong(str(error)) from None

    return BeforeValidator(checked)


def _duration(value: Any) -> int:
    if isinstance(value, str) and (found := _SPAN.fullmatch(value)):
        span = Decimal(found[1]) * _SPANS[found[2]]
        if span == span.to_integral_value() and span > 0:
            return int(span)
    raise ValueError("a span of time is text such as '250ms', '30s', '5m' or '1h', and longer than nothing")


def _duration_text(span_us: int) -> str:
    unit = next(unit for unit in reversed(_SPANS) if span_us % _SPANS[unit] == 0)
    return f"{span_us // _SPANS[unit]}{unit}"


def _size(value: Any) -> int:
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)) and int(found[1]) > 0:
        return int(found[1]) * _SIZES[found[2]]
    raise ValueError("a size is text such as '64KiB' or '1MiB', and more than nothing")


def _size_text(size: int) -> str:
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if size % _SIZES[unit] == 0)
    return f"{size // _SIZES[unit]}{unit}"


def _size_or_none(value: Any) -> int:
    return 0 if value == 0 and type(value) is int else _size(value)


def _size_or_none_text(size: int) -> str | int:
    return _size_text(size) if size else 0


def _amount(value: Any) -> int:
    return parse_nanos(value)


def _amount_text(nanos: int) -> str:
    whole, rest = divmod(nanos, NANOS_PER_USD)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _pattern(value: Any) -> Pattern:
    if not isinstance(value, str):
        raise ValueError("a route pattern is text such as 'POST /v1/tasks/{task_id}'")
    return Pattern.parse(value)


def _base_url(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a base URL is text such as 'https://api.example.com'")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base URL begins with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError("a base URL has no user, no query and no fragment")
    if not re.fullmatch(r"[\x21-\x7e]*", value):
        raise ValueError("a base URL is plain ASCII")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("a base URL's port is a number up to 65535") from None
    return value.rstrip("/")


def _header_name(value: Any) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("a header name is a word of letters, digits and dashes")
    return value.lower()


def _template(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"/|\{submit_path\}", value):
        raise ValueError("a path template is text that begins with '/' or '{submit_path}'")
    if "#" in value or not re.fullmatch(r"[\x21-\x7e]*", value):
        raise ValueError("a path template is plain ASCII, encoded where it must be, without a fragment")
    return value


_STEP = re.compile(r"\['([^'\\]*)'\]|\[(\d+)\]")
_PLAIN = re.compile(rf"\$(?:{_STEP.pattern})*")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled JSONPath (RFC 9535). `steps`: the names and indices that lead there, where the path is as
    plain as that; else None.
    """

    text: str
    query: jsonpath_rfc9535.JSONPathQuery
    steps: tuple[str | int, ...] | None

    def first(self, document: Any) -> tuple[bool, Any]:
        """Whether anything is there, and the first that is."""
        if self.steps is not None:
            return _led(self.steps, document)
        try:
            node = self.query.find_one(document)
        except jsonpath_rfc9535.JSONPathError:  # too deep to descend into
            return False, None
        return (False, None) if node is None else (True, node.value)

    def __str__(self) -> str:
        return self.text


def _led(steps: tuple[str | int, ...], document: Any) -> tuple[bool, Any]:
    value = document
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return False, None
        elif not isinstance(value, list) or step >= len(value):
            return False, None
        value = value[step]
    return True, value


def _steps(query: jsonpath_rfc9535.JSONPathQuery) -> tuple[str | int, ...] | None:
    # The canonical text is the same in all versions of the library; what it is made of is not.
    canonical = str(query)
    if not _PLAIN.fullmatch(canonical):
        return None
    return tuple(int(index) if index else name for name, index in _STEP.findall(canonical))


def _json_path(value: Any) -> JsonPath:
    if not isinstance(value, str):
        raise ValueError("a JSONPath is text such as '$.data.task_id'")
    try:
        query = jsonpath_rfc9535.compile(value)
    except jsonpath_rfc9535.JSONPathError as error:
        reason = str(error).split(",")[0]
        raise ValueError(f"{value!r} is not a JSONPath: {reason}") from None
    return JsonPath(value, query, _steps(query))


class Secret:
    """Something that must not be shown. `repr` and `str` say where it came from."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: Mapping[str, str]) -> None:
        self._value = value
        self.source = dict(source)

    def reveal(self) -> str:
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compares in a time that says nothing of where the two differ."""
        return hmac.compare_digest(self._value.encode(), candidate.encode())

    def __repr__(self) -> str:
        ((kind, name),) = self.source.items()
        return f"<secret from {kind} {name}>"


def _secret(value: Any, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, dict) or len(value) != 1 or not {"env", "file"} & set(value):
        raise _wrong("a secret is never written here: give {env: NAME} or {file: PATH}")
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name:
        raise _wrong(f"{kind} names where the secret is")
    given = info.context
    if not isinstance(given, Given):
        raise _wrong("there is no environment to take the secret from")
    if kind == "env":
        found = given.environ.get(name)
        if found is None:
            raise _wrong(f"the environment variable {name} is not set")
    else:
        try:
            found = (given.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise _wrong(f"the file {name} cannot be read") from None
    text = found.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        where = f"the environment variable {name}" if kind == "env" else f"the file {name}"
        raise _wrong(f"{where} is empty or is not one word of printable ASCII")
    return Secret(text, {kind: name})


def _listed(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong("is a list")
    return tuple(value)


T = TypeVar("T")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

Duration = Annotated[int, _reader(_duration), PlainSerializer(_duration_text)]
"""Text such as `30s` in the file, integer microseconds in the program."""

Size = Annotated[int, _reader(_size), PlainSerializer(_size_text)]
"""Text such as `1MiB` in the file, bytes in the program."""

SizeOrNone = Annotated[int, _reader(_size_or_none), PlainSerializer(_size_or_none_text)]
"""The same, or 0."""

Amount = Annotated[int, _reader(_amount), PlainSerializer(_amount_text)]
"""Decimal dollars in the file, integer nano-dollars in the program."""

Price = Annotated[Decimal, _reader(parse_price), PlainSerializer(str)]
"""Decimal dollars a unit; may be finer than a nano-dollar."""

RoutePattern = Annotated[Pattern, _reader(_pattern), PlainSerializer(str)]
BaseUrl = Annotated[str, _reader(_base_url)]
HeaderName = Annotated[str, _reader(_header_name)]
Template = Annotated[str, _reader(_template)]
JsonPathText = Annotated[JsonPath, _reader(_json_path), PlainSerializer(str)]
SecretValue = Annotated[Secret, BeforeValidator(_secret), PlainSerializer(lambda secret: secret.source)]
Many = Annotated[tuple[T, ...], BeforeValidator(_listed)]
