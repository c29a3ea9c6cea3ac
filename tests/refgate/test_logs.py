"""Logs are JSON lines that hold no secret, whoever wrote them and however."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from refgate import events
from refgate.events import AttemptEnded, CallOpened, Event, Failed, line
from refgate.logs import LibraryLog, event_log

SECRETS = ("canary-provider-rh", 'quo"ted\\key', "canary")
AT = 1_767_571_200_000_123


def logged(event: Event) -> dict[str, object]:
    stream = io.StringIO()
    event_log(stream, SECRETS)(event)
    text = stream.getvalue()
    assert text.endswith("\n") and text.count("\n") == 1
    made: dict[str, object] = json.loads(text)
    return made


def test_an_event_is_one_line_with_its_own_time() -> None:
    """The time is the event's, not the logger's; what is not known is left out."""
    with freeze_time("2001-01-01"):
        shown = logged(
            AttemptEnded(
                t_us=AT,
                attempt_id="a",
                call_id=None,
                provider="rh",
                op="poll",
                status=200,
                failure=None,
                took_us=7,
            )
        )
    assert shown == {
        "time": "2026-01-05T00:00:00.000123Z",
        "level": "info",
        "event": "attempt-ended",
        "attempt_id": "a",
        "provider": "rh",
        "op": "poll",
        "status": 200,
        "took_us": 7,
    }


@given(st.text(max_size=20), st.sampled_from(SECRETS), st.text(max_size=20))
def test_no_secret_gets_through_however_it_is_embedded(before: str, secret: str, after: str) -> None:
    """As it is, and as JSON writes it: the second wall behind events that carry none to begin with."""
    shown = logged(Failed(t_us=AT, where=before + secret + after, what="x"))
    assert not any(one in str(shown["where"]) for one in SECRETS)
    assert logged(Failed(t_us=AT, where=secret, what="x"))["where"] == "[redacted]"


def test_libraries_speak_through_the_same_wall() -> None:
    """A library's message is cut to a line, and of an exception only the class is told."""
    stream = io.StringIO()
    log = logging.Logger("uvicorn.error")
    log.addHandler(LibraryLog(stream, SECRETS, lambda: AT))
    try:
        raise ValueError("canary-provider-rh in a message")
    except ValueError:
        log.exception("failed with %s\nand a traceback", "canary-provider-rh")
    log.info("not worth a line")
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-05T00:00:00.000123Z",
        "level": "error",
        "event": "library",
        "logger": "uvicorn.error",
        "message": "failed with [redacted]",
        "error": "ValueError",
    }


def test_a_library_that_repeats_itself_is_heard_once_a_second() -> None:
    """What any stranger may cause must not fill the disk; nor silence it for good when the clock jumps."""
    stream, now = io.StringIO(), AT
    log = logging.Logger("uvicorn.error")
    log.addHandler(LibraryLog(stream, SECRETS, lambda: now))
    for at_us in (0, 1, 999_999, 1_000_000, 1_500_000, -50_000_000):
        now = AT + at_us
        log.warning("Invalid HTTP request received.")
        log.warning("another %s", "one")
    assert len(stream.getvalue().splitlines()) == 6
    for number in range(200):
        log.warning("many %d", number)
    assert len(stream.getvalue().splitlines()) == 206


def test_equal_events_are_equal_lines() -> None:
    """What the simulation compares is a canonical text."""
    one = CallOpened(t_us=1, call_id="c", account="a", provider="p", hold_nanos=5, flags=("x",))
    assert line(one) == (
        '{"event":"call-opened","level":"info","t_us":1,"call_id":"c","account":"a","provider":"p",'
        '"hold_nanos":5,"flags":["x"]}'
    )
    assert line(Failed(t_us=1, where="x", what="y")) == (
        '{"event":"failed","level":"error","t_us":1,"where":"x","what":"y"}'
    )


@pytest.mark.parametrize("name", [name for name in events.__all__ if name[0].isupper()])
def test_every_kind_of_event_has_its_own_name_and_level(name: str) -> None:
    """No two kinds share a name, and each says how bad it is."""
    kind = getattr(events, name)
    kinds = [getattr(events, one).kind for one in events.__all__ if one[0].isupper()]
    assert kinds.count(kind.kind) == 1 and kind.level in ("info", "warning", "error")


def test_times_are_utc() -> None:
    """Whatever the machine's zone is."""
    at = datetime.fromtimestamp(AT // 1_000_000, UTC)
    assert logged(Failed(t_us=AT, where="x", what="y"))["time"] == f"{at:%Y-%m-%dT%H:%M:%S}.000123Z"
