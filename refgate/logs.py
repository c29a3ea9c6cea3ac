"""Events and library messages as JSON lines on one stream, with every known secret taken out.

What is redacted comes from where the credentials themselves come from, the settings, so that a new secret
cannot be forgotten here. Redaction is the second wall: events carry no secret to begin with.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from refgate.events import Event, as_mapping
from refgate.redaction import Redaction

__all__ = ["LibraryLog", "event_log"]


def event_log(stream: TextIO, secrets: Sequence[str]) -> Callable[[Event], None]:
    """The production sink."""
    log = _logger(stream, Redaction(secrets))

    def sink(event: Event) -> None:
        log(event.kind, level=event.level, **as_mapping(event))

    return sink


class LibraryLog(logging.Handler):
    """What libraries say through `logging`: the message, and of an exception only its class.

    A traceback may hold anything; the events say what went wrong in the gateway's own words.
    """

    def __init__(self, stream: TextIO, secrets: Sequence[str], clock: Callable[[], int]) -> None:
        super().__init__(logging.WARNING)
        self._log = _logger(stream, Redaction(secrets))
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Traceback"):
            return  # an exception as text: an event has told of it in words of our own
        error = record.exc_info[0] if record.exc_info else None
        self._log(
            "library",
            level=record.levelname.lower(),
            t_us=self._clock(),
            logger=record.name,
            message=message.partition("\n")[0][:500],
            **({} if error is None else {"error": error.__name__}),
        )


def _logger(stream: TextIO, redaction: Redaction) -> Callable[..., Any]:
    def render(_: Any, __: str, values: MutableMapping[str, Any]) -> str:
        at = datetime.fromtimestamp(values["t_us"] // 1_000_000, UTC)
        time = f"{at:%Y-%m-%dT%H:%M:%S}.{values.pop('t_us') % 1_000_000:06d}Z"
        shown = {"time": time, "level": values.pop("level"), "event": values.pop("event"), **values}
        return redaction.known(json.dumps(shown, ensure_ascii=True, separators=(",", ":"), default=str))

    bound = structlog.wrap_logger(
        structlog.WriteLogger(stream), processors=[render], wrapper_class=structlog.BoundLogger
    )
    return bound.info  # type: ignore[no-any-return]  # structlog types its proxies loosely
