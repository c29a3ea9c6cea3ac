"""How long a provider asks to be left alone, in microseconds, in every form they say it.

`retry-after-ms`, `retry-after` (seconds, a fraction, an HTTP date), Gemini's `RetryInfo` in the body; where
none is there, the reset of a limit that is used up (OpenAI's durations, Anthropic's timestamps). Hostile
values are no hint; a hint is at most HINT_US_MAX. `now_us` is wall time: dates are read against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from refgate.dialects.json_text import as_list, as_map

__all__ = ["HINT_US_MAX", "hint_us"]

HINT_US_MAX = 30 * 24 * 3600 * 1_000_000
"""Thirty days: longer than any limit lasts, and short enough to add to a clock."""

_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}", re.ASCII)
_GO_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|h|m|s)", re.ASCII)
_GO_UNIT_US = {
    "h": Decimal(3_600_000_000),
    "m": Decimal(60_000_000),
    "s": Decimal(1_000_000),
    "ms": Decimal(1_000),
    "us": Decimal(1),
    "µs": Decimal(1),
    "ns": Decimal("0.001"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHARS_MAX = 64


def hint_us(headers: Iterable[tuple[str, str]], body: Any, *, now_us: int) -> int | None:
    """The wait, counted from now; None where the provider names none. `body` is the parsed error."""
    found = {name.lower(): value.strip()[:_CHARS_MAX] for name, value in headers}
    told = _scaled(found.get("retry-after-ms", ""), 1_000)
    if told is None:
        told = _retry_after(found.get("retry-after", ""), now_us)
    if told is None:
        told = _retry_info(body)
    return told if told is not None else _reset(found, now_us)


def _clip(us: Decimal | int) -> int:
    """Rounded up: to come a moment too early is to be refused again."""
    if us > HINT_US_MAX:
        return HINT_US_MAX
    whole = int(us)
    return max(0, whole + (us > whole))


def _scaled(text: str, unit_us: int) -> int | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    return _clip(Decimal(text) * unit_us)


def _retry_after(text: str, now_us: int) -> int | None:
    seconds = _scaled(text, 1_000_000)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _until(when, now_us)


def _until(when: datetime, now_us: int) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return _clip((when - _EPOCH) // timedelta(microseconds=1) - now_us)


def _retry_info(body: Any) -> int | None:
    """`error.details[]` of type RetryInfo; a stream's error may come inside a list."""
    if isinstance(body, list):
        body = body[0] if body else None
    for one in as_list(as_map(as_map(body).get("error")).get("details")):
        detail = as_map(one)
        delay = detail.get("retryDelay")
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo") and isinstance(delay, str):
            return _scaled(delay[:_CHARS_MAX].removesuffix("s"), 1_000_000) if delay.endswith("s") else None
    return None


def _reset(headers: dict[str, str], now_us: int) -> int | None:
    """When the limits that have nothing left begin anew; the last of them counts."""
    waits: list[int] = []
    for name, value in headers.items():
        if value != "0":
            continue
        reset: int | None = None
        if name.startswith("x-ratelimit-remaining-"):
            reset = _go_duration(headers.get(name.replace("-remaining-", "-reset-"), ""))
        elif name.startswith("anthropic-ratelimit-") and name.endswith("-remaining"):
            reset = _timestamp(headers.get(name.removesuffix("remaining") + "reset", ""), now_us)
        if reset is not None:
            waits.append(reset)
    return max(waits, default=None)


def _go_duration(text: str) -> int | None:
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return _clip(sum((Decimal(number) * _GO_UNIT_US[unit] for number, unit in parts), Decimal(0)))
    except InvalidOperation:
        return None


def _timestamp(text: str, now_us: int) -> int | None:
    try:
        return _until(datetime.fromisoformat(text), now_us)
    except (ValueError, OverflowError):
        return None
