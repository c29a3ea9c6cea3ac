"""What reached a provider, and what the record says of it: on fixed histories."""

from collections.abc import Callable
from typing import Any

import pytest

from scenarios.checks import Finding, Verdict
from scenarios.history import Crashed

SECOND = 1_000_000
Tell = Callable[..., Any]
Judge = Callable[[str, Any], Finding]


def test_what_was_seen_is_recorded(story: Tell, judged: Judge) -> None:
    """Every submit and poll has its row."""
    assert judged("attempts-recorded", story().whole(1).whole(2)).verdict is Verdict.HOLDS


def test_without_a_reading_nothing_is_known(story: Tell, judged: Judge) -> None:
    """No table of attempts, no verdict."""
    told = story().whole(1)
    told.read = False
    assert judged("attempts-recorded", told).verdict is Verdict.UNTESTED


def test_an_attempt_without_a_row_is_a_breach(story: Tell, judged: Judge) -> None:
    """A time-out left no row."""
    told = story().whole(1)
    told.attempts.pop()
    finding = judged("attempts-recorded", told)
    assert finding.verdict is Verdict.BROKEN
    assert "0 are recorded" in finding.sentence


def test_a_connection_that_was_refused_stands_for_no_request(story: Tell, judged: Judge) -> None:
    """What arrived has a row of its own, beside those of what never arrived."""
    told = story().whole(1)
    told.attempts[0] |= {"status": None, "failure": "connect"}
    finding = judged("attempts-recorded", told)
    assert finding.verdict is Verdict.BROKEN and "0 are recorded" in finding.sentence


def test_a_status_that_nobody_answered_is_a_breach(story: Tell, judged: Judge) -> None:
    """Recorded as a success, answered as an error."""
    told = story().whole(1)
    told.attempts[0]["status"] = 500
    finding = judged("attempts-recorded", told)
    assert finding.verdict is Verdict.BROKEN
    assert "recorded as 500" in finding.sentence


def test_an_attempt_without_an_end_is_a_breach_unless_it_was_cut_off(story: Tell, judged: Judge) -> None:
    """Neither a status nor a failure: only a crash explains it."""
    told = story().whole(1)
    told.attempts[0]["status"] = None
    assert judged("attempts-recorded", told).verdict is Verdict.BROKEN
    told.add(Crashed(t_us=told.tick(), at="gateway-0", where="time"))
    assert judged("attempts-recorded", told).verdict is Verdict.HOLDS


def test_an_attempt_that_never_arrived_is_no_breach(story: Tell, judged: Judge) -> None:
    """A connection that was refused is an attempt all the same."""
    told = story().whole(1)
    seen = told.received()
    told.facts.remove(seen)
    told.attempt(seen, None, failure="refused")
    assert judged("attempts-recorded", told).verdict is Verdict.HOLDS


def test_a_second_submit_for_one_request_is_a_breach(story: Tell, judged: Judge) -> None:
    """The answer was lost, and the gateway tried again by itself."""
    told = story()
    told.sent(1)
    told.received(nonce="n1")
    assert judged("no-double-generation", told).verdict is Verdict.HOLDS
    told.received(nonce="n1")
    finding = judged("no-double-generation", told)
    assert finding.verdict is Verdict.BROKEN
    assert "2 submits reached rh for 1" in finding.sentence


def test_plain_submits_do_not_test_repetition(story: Tell, judged: Judge) -> None:
    """Where every answer came, nothing tempted anybody to send again."""
    assert judged("no-double-generation", story().whole(1)).verdict is Verdict.UNTESTED


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("insufficient_funds", 402),
        ("billing_unavailable", 503),
        ("unauthorized", 401),
        ("body_too_large", 413),
    ],
)
def test_a_refused_submit_that_reached_the_provider_is_a_breach(
    story: Tell, judged: Judge, code: str, status: int
) -> None:
    """Refused to the caller and carried on behind his back."""
    told = story()
    told.refused(told.sent(1), code, status)
    assert judged("refused-reaches-nobody", told).verdict is Verdict.HOLDS
    told.received(nonce="n1")
    finding = judged("refused-reaches-nobody", told)
    assert finding.verdict is Verdict.BROKEN
    assert code in finding.sentence


def test_a_refusal_of_one_attempt_says_nothing_of_another(story: Tell, judged: Judge) -> None:
    """Refused first, carried on when it was sent again."""
    told = story()
    told.refused(told.sent(1, key="k1"), "billing_unavailable", 503)
    told.sent(1, 2, key="k1")
    told.received(nonce="n1")
    assert judged("refused-reaches-nobody", told).verdict is Verdict.UNTESTED


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (200, None, Verdict.BROKEN),
        (502, "upstream_unreachable", Verdict.BROKEN),
        (413, "body_too_large", Verdict.HOLDS),
        (401, "unauthorized", Verdict.HOLDS),
    ],
)
def test_a_body_over_the_limit_is_refused(
    story: Tell, judged: Judge, status: int, code: str | None, verdict: Verdict
) -> None:
    """413, or an earlier refusal; never an answer."""
    told = story()
    sent = told.sent(1, body=b"x" * 1025)
    if code is None:
        told.got(sent, status)
    else:
        told.refused(sent, code, status)
    assert judged("refused-reaches-nobody", told).verdict is verdict


def test_a_body_at_the_limit_is_no_matter(story: Tell, judged: Judge) -> None:
    """1024 bytes are allowed."""
    told = story()
    told.got(told.sent(1, body=b"x" * 1024))
    assert judged("refused-reaches-nobody", told).verdict is Verdict.UNTESTED
