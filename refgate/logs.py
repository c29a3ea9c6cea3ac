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

from refgate.events import Event, line
from refgate.redaction import Redaction

__all__ = ["LibraryLog", "event_log"]

_QUIET_US = 1_000_000
_MESSAGES_MAX = 64


def event_log(stream: TextIO, secrets: Sequence[str]) -> Callable[[Event], None]:
    """The production sink. Every call tells of itself several times: so its lines are made by hand."""
    redaction = Redaction(secrets)
    time = _Time()

    def sink(event: Event) -> None:
        head, _, rest = line(event).partition(f',"t_us":{event.t_us}')
        stream.write(redaction.known(f'{{"time":"{time.shown(event.t_us)}",{head[1:]}{rest}') + "\n")
        stream.flush()

    return sink


class _Time:
    """Instants as text; the second, which many events share, is written once."""

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def shown(self, t_us: int) -> str:
        second, us = divmod(t_us, 1_000_000)
        if second != self._second:
            self._second = second
            self._text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._text}.{us:06d}Z"


class LibraryLog(logging.Handler):
    """What libraries say through `logging`: the message, and of an exception only its class.

    A traceback may hold anything; the events say what went wrong in the gateway's own words. The same
    message is written once a second at most: whoever may speak to the gateway may cause some of them.
    """

    def __init__(self, stream: TextIO, secrets: Sequence[str], clock: Callable[[], int]) -> None:
        super().__init__(logging.WARNING)
        self._log = _logger(stream, Redaction(secrets))
        self._clock = clock
        self._lately: dict[str, int] = {}  # when each message was written last

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Traceback"):
            return  # an exception as text: an event has told of it in words of our own
        error = record.exc_info[0] if record.exc_info else None
        now_us, shown = self._clock(), message.partition("\n")[0][:500]
        if 0 <= now_us - self._lately.get(shown, -_QUIET_US) < _QUIET_US:
            return
        if len(self._lately) >= _MESSAGES_MAX:
            self._lately.clear()
        self._lately[shown] = now_us
        self._log(
            "library",
            level=record.levelname.lower(),
            t_us=now_us,
            logger=record.name,
            message=shown,
            **({} if error is None else {"error": error.__name__}),
        )


def _logger(stream: TextIO, redaction: Redaction) -> Callable[..., Any]:
    time = _Time()

    def render(_: Any, __: str, values: MutableMapping[str, Any]) -> str:
        shown = {
            "time": time.shown(values.pop("t_us")),
            "level": values.pop("level"),
            "event": values.pop("event"),
            **values,
        }
        return redaction.known(json.dumps(shown, ensure_ascii=True, separators=(",", ":"), default=str))

    bound = structlog.wrap_logger(
        structlog.WriteLogger(stream), processors=[render], wrapper_class=structlog.BoundLogger
    )
    return bound.info  # type: ignore[no-any-return]  # structlog types its proxies loosely
