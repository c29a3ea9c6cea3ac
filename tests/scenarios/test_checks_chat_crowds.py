"""The checks of breakers, pauses and crowds: who is let through, who waits, who comes back when."""

import pytest

from fakes.journal import Received
from scenarios.checks import Verdict
from tests.scenarios.chat_kit import HOLD, MS, SECOND, ChatStory, breaches, verdict

BREAKER = {"breaker": {"failures": 2, "open": "10s", "lease": "5s"}}


def failing(told: ChatStory, number: int, backend: str = "east", *, retry_after: str = "") -> Received:
    """A call that one backend answers with a 500, and nobody else is asked for."""
    sent = told.asks(number)
    told.reserve(number, HOLD, call=f"c{number}")
    received = told.reaches(number, backend, accepted=False)
    told.refuses(received, 500, (("retry-after", retry_after),) if retry_after else (), reason="server")
    told.failed(number, received, "server", status=500)
    told.finalize(number, 0)
    told.noted(number, outcome="failed", reason="attempts", amount_nanos=0, status=502, backend=None)
    told.told(sent, "broken", 502, ("x-should-retry", "false"))
    return received


def exhausted(told: ChatStory, number: int, retry_after: str) -> None:
    """A call that is told at once to come back later."""
    sent = told.asks(number)
    told.reserve(number, HOLD, call=f"c{number}")
    told.finalize(number, 0)
    told.noted(number, outcome="failed", reason="exhausted", amount_nanos=0, status=503)
    told.told(sent, "AllPoolsExhausted", 503, ("retry-after", retry_after))


@pytest.mark.parametrize(
    ("wait_us", "expected"), [(8 * SECOND, Verdict.BROKEN), (12 * SECOND, Verdict.HOLDS)]
)
def test_a_backend_that_failed_too_often_is_left_alone(wait_us: int, expected: Verdict) -> None:
    """For as long as its breaker is declared to be open."""
    told = ChatStory.under(chat=BREAKER)
    failing(told, 1)
    failing(told, 2)
    assert verdict("cooldown-respected", told) is Verdict.UNTESTED
    told.tick(wait_us)
    told.served(3)
    assert verdict("cooldown-respected", told) is expected


@pytest.mark.parametrize(
    ("apart_us", "expected"),
    [(0, Verdict.BROKEN), (4 * SECOND, Verdict.BROKEN), (6 * SECOND, Verdict.HOLDS)],
)
def test_one_call_at_a_time_tries_it_again(apart_us: int, expected: Verdict) -> None:
    """Another only when that one is over, or has hung for too long."""
    told = ChatStory.under(chat=BREAKER)
    failing(told, 1)
    failing(told, 2)
    told.tick(12 * SECOND)
    began_us = told.now_us
    told.served(3, columns={"started_us": began_us, "ended_us": began_us + 20 * SECOND})
    told.served(4, columns={"started_us": began_us + apart_us, "ended_us": began_us + 21 * SECOND})
    assert verdict("cooldown-respected", told) is expected


def test_a_success_closes_a_breaker() -> None:
    """Then it takes as many failures as before."""
    told = ChatStory.under(chat=BREAKER)
    failing(told, 1)
    told.served(2)
    failing(told, 3)
    told.served(4)
    assert verdict("cooldown-respected", told) is Verdict.UNTESTED


@pytest.mark.parametrize(("wait_us", "expected"), [(4 * SECOND, Verdict.BROKEN), (9 * SECOND, Verdict.HOLDS)])
def test_whatever_the_error_a_pause_that_it_asks_for_is_kept(wait_us: int, expected: Verdict) -> None:
    """A 500 with a Retry-After as much as a 429."""
    told = ChatStory()
    failing(told, 1, retry_after="8")
    told.tick(wait_us)
    told.served(2)
    assert verdict("cooldown-respected", told) is expected


def test_a_backend_is_not_tried_again_right_after_it_failed() -> None:
    """While another is there that nothing is wrong with; where there is none it may be."""
    told = ChatStory()
    sent = told.asks(1)
    told.reserve(1, HOLD, call="c1")
    for _ in range(2):
        received = told.reaches(1, accepted=False)
        told.refuses(received, 500, reason="server")
        told.failed(1, received, "server", status=500)
    told.finalize(1, 0)
    told.noted(1, outcome="failed", reason="attempts", amount_nanos=0, status=502, backend=None)
    told.told(sent, "broken", 502, ("x-should-retry", "false"))
    assert "went to east, which had just failed, while west, rome was free" in breaches(
        "fallback-in-order", told
    )


def test_a_call_is_not_given_up_while_somebody_is_free() -> None:
    """After one try of three, with two backends that nothing is wrong with; after three there is no more."""
    told = ChatStory()
    failing(told, 1)
    assert "was given up after east failed (server), and west, rome was free" in breaches(
        "fallback-in-order", told
    )
    told = ChatStory.under(chat={"attempts": 1})
    failing(told, 1)
    assert verdict("fallback-in-order", told) is Verdict.UNTESTED


@pytest.mark.parametrize(("step_us", "expected"), [(0, Verdict.BROKEN), (5 * MS, Verdict.HOLDS)])
def test_those_who_waited_do_not_come_in_one_instant(step_us: int, expected: Verdict) -> None:
    """Four calls that came one after the other, and that all go out as the wait is over."""
    told = ChatStory()
    for number in range(1, 5):
        told.served(number, columns={"created_us": number * 100 * MS})
    at_us = min(row["started_us"] for row in told.chat_attempts)
    for place, row in enumerate(told.chat_attempts):
        row["started_us"] = at_us + 2 * SECOND + place * step_us
    assert verdict("traffic-returns", told) is expected


@pytest.mark.parametrize(("step_us", "expected"), [(0, Verdict.BROKEN), (30 * MS, Verdict.HOLDS)])
def test_those_who_rest_do_not_rest_in_step(step_us: int, expected: Verdict) -> None:
    """Four calls that each try again after their first failure, to the very millisecond as long."""
    told = ChatStory()
    for number in range(1, 5):
        sent = told.asks(number)
        told.reserve(number, HOLD, call=f"c{number}")
        received = told.reaches(number, accepted=False)
        told.refuses(received, 500, reason="server")
        first = told.failed(number, received, "server", status=500)
        told.tick(SECOND)
        received = told.reaches(number, "west")
        told.says(received)
        told.tried(number, received, started_us=first["ended_us"] + 500 * MS + number * step_us)
        told.finalize(number)
        told.noted(number)
        told.hears(sent)
    assert verdict("traffic-returns", told) is expected


@pytest.mark.parametrize(("retry_after", "expected"), [("12", Verdict.HOLDS), ("60", Verdict.BROKEN)])
def test_who_is_told_to_come_back_is_told_the_soonest(retry_after: str, expected: Verdict) -> None:
    """One backend was asked to be left alone for ten seconds, the others for a minute."""
    told = ChatStory()
    for number, (backend, hint) in enumerate((("east", "60"), ("west", "10"), ("rome", "60")), start=1):
        failing(told, number, backend, retry_after=hint)
    exhausted(told, 4, retry_after)
    assert verdict("traffic-returns", told) is expected


def test_what_a_retry_could_double_says_so() -> None:
    """To SDKs, which retry by themselves what they are not told not to."""
    told = ChatStory()
    failing(told, 1)
    assert verdict("error-mapped", told) is Verdict.HOLDS
    told = ChatStory()
    sent = told.asks(1)
    told.reserve(1, HOLD, call="c1")
    told.failed(1, told.reaches(1), "timeout", ambiguous=True)
    told.finalize(1, 0)
    told.noted(1, outcome="failed", reason="ambiguous", amount_nanos=0, status=504, backend=None)
    told.told(sent, "timeout", 504)
    assert "may have been done, and its caller is not told not to retry" in breaches("error-mapped", told)


def test_an_error_in_a_good_row() -> None:
    """An attempt that was answered with a 500 did not serve."""
    told = ChatStory()
    received = failing(told, 1)
    told.chat_attempts[0]["failure"] = None
    assert "no failure, and it answered 500" in breaches("attempts-recorded", told)
    assert received.at == "east"


def test_a_body_that_was_cut_is_not_broken() -> None:
    """Over the limit it is too large, whatever its first part looks like."""
    told = ChatStory.under(limits={"request_body": "1KiB"})
    for code, status, expected in (("too_large", 413, Verdict.HOLDS), ("bad_request", 400, Verdict.BROKEN)):
        sent = told.asks(1 if status == 413 else 2, fields={"user": "x" * 1024})
        told.told(sent, code, status)
        assert verdict("refused-reaches-nobody", told) is expected
