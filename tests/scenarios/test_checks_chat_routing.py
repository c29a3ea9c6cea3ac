"""The checks of where chats go: attempts, cooldowns, fallbacks, rates, on histories told by hand."""

import pytest

from fakes.journal import Received
from scenarios.checks import Verdict
from scenarios.checks.chat_health import hint_us
from scenarios.declared.gateway import Declared
from scenarios.history import Restarted
from tests.scenarios.chat_kit import COST, HOLD, MS, SECOND, ChatStory, breaches, chat_config, verdict


def attempted(
    told: ChatStory, number: int, *backends: str, refused: int = 0, lane: str = "pool", **over: str
) -> list[Received]:
    """A call that goes through these backends; the first `refused` of them answer 429."""
    sent = told.asks(number)
    told.reserve(number, HOLD, call=f"c{number}")
    seen = []
    for place, backend in enumerate(backends):
        last = place == len(backends) - 1
        own = {"lane": lane} if last else {}
        if place < refused:
            received = told.reaches(number, backend, accepted=False)
            told.refuses(received, headers=(("retry-after", over.get("retry_after", "4")),))
            told.failed(number, received, "rate_limited", status=429, retry_after_us=4 * SECOND, **own)
        else:
            received = told.reaches(number, backend)
            told.says(received)
            told.tried(number, received, **own)
        seen.append(received)
    nanos = 0 if refused >= len(backends) else COST
    told.finalize(number, nanos)
    if nanos:
        told.noted(number)
        told.hears(sent)
    else:
        told.noted(number, outcome="failed", amount_nanos=0, status=503, backend=None, upstream_model=None)
        told.told(sent, "AllPoolsExhausted", 503, ("retry-after", "4"))
    return seen


# --- attempts -----------------------------------------------------------------------------------------


def test_attempts_are_bounded() -> None:
    """Three at most, and one in the emergency lane."""
    told = ChatStory()
    attempted(told, 1, "east", "west", "rome", refused=2)
    assert verdict("attempts-bounded", told) is Verdict.HOLDS
    told = ChatStory()
    attempted(told, 1, "east", "west", "rome", "east", refused=3)
    assert "made 4 attempts" in breaches("attempts-bounded", told)
    told = ChatStory()
    attempted(told, 1, "east", "west", "rome", "east", refused=3, lane="emergency")
    assert verdict("attempts-bounded", told) is Verdict.HOLDS
    told = ChatStory.under(chat={"all_open": "refuse"})
    attempted(told, 1, "east", lane="emergency")
    assert verdict("attempts-bounded", told) is Verdict.BROKEN


def test_a_backend_that_hears_more_than_the_record_says() -> None:
    """A retry below the gateway's own count is an attempt all the same."""
    told = ChatStory()
    attempted(told, 1, "east")
    for _ in range(4):
        told.says(told.reaches(1))
    assert "reached the backends" in breaches("attempts-bounded", told)
    assert "no attempt of the record" in breaches("attempts-recorded", told)


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("status", 500, "status 500"),
        ("model", "maxi", "model maxi"),
        ("served_model", "maxi", "served by maxi"),
        ("input", 19, "input 19"),
        ("output", 21, "output 21"),
        ("cache_read", 1, "cache_read 1"),
    ],
)
def test_an_attempt_is_recorded_as_it_was(column: str, value: object, word: str) -> None:
    """Status, models and tokens."""
    told = ChatStory()
    told.served(1)
    assert verdict("attempts-recorded", told) is Verdict.HOLDS
    told.chat_attempts[0][column] = value
    assert word in breaches("attempts-recorded", told)


def test_an_attempt_has_its_end_and_a_call_its_count() -> None:
    """Neither an open end long after, nor a number that is not so."""
    told = ChatStory()
    told.served(1)
    told.chat_attempts[0]["ended_us"] = None
    assert "never ended" in breaches("attempts-recorded", told)
    told = ChatStory()
    told.served(1)
    told.chats[0]["attempts"] = 2
    assert "counts 2 attempts" in breaches("attempts-recorded", told)


@pytest.mark.parametrize(
    ("policy", "idempotent", "expected"),
    [
        ("never_retry", True, Verdict.BROKEN),
        ("retry_if_idempotent", False, Verdict.BROKEN),
        ("retry_if_idempotent", True, Verdict.HOLDS),
        ("always_retry", False, Verdict.HOLDS),
    ],
)
def test_what_may_have_been_done_is_sent_again_by_policy(
    policy: str, idempotent: bool, expected: Verdict
) -> None:
    """A backend took it on, and nobody knows what came of it."""
    told = ChatStory.under(chat={"ambiguous": policy})
    if idempotent:
        model = {**chat_config()["models"]["small"], "idempotent": True}
        told = ChatStory.under(chat={"ambiguous": policy}, models={"small": model})
    sent = told.asks(1)
    told.reserve(1, HOLD, call="c1")
    lost = told.reaches(1)
    told.says(lost, complete=False, text="", delivered=0, usage_shown=None, answer=False)
    told.failed(1, lost, "timeout", ambiguous=True)
    served = told.reaches(1, "west")
    told.says(served)
    told.tried(1, served)
    told.noted(1, flags=["unbilled_work"])
    told.hears(sent)
    assert verdict("no-double-generation", told) is expected


def test_what_was_answered_whole_is_not_sent_again() -> None:
    """Whatever the policy."""
    told = ChatStory.under(chat={"ambiguous": "always_retry"})
    sent = told.asks(1)
    told.reserve(1, HOLD, call="c1")
    first = told.reaches(1)
    told.says(first)
    told.failed(1, first, "broken")
    second = told.reaches(1, "west")
    told.says(second)
    told.tried(1, second)
    told.noted(1)
    told.hears(sent)
    assert "answered it whole" in breaches("no-double-generation", told)


def test_who_is_refused_reaches_nobody() -> None:
    """An unknown key, and nobody hears the question; or somebody does."""
    told = ChatStory()
    told.told(told.asks(1), "unauthorized", 401)
    assert verdict("refused-reaches-nobody", told) is Verdict.HOLDS
    told.says(told.reaches(1))
    assert verdict("refused-reaches-nobody", told) is Verdict.BROKEN


# --- cooldowns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait_us", "retry_after", "lane", "expected"),
    [
        (6 * SECOND, "4", "pool", Verdict.HOLDS),
        (4 * SECOND, "1", "pool", Verdict.BROKEN),  # the declared first time is 5 s
        (6 * SECOND, "30", "pool", Verdict.BROKEN),
        (6 * SECOND, "30", "emergency", Verdict.UNTESTED),
        (31 * SECOND, "30", "pool", Verdict.HOLDS),
    ],
)
def test_a_backend_is_left_alone(wait_us: int, retry_after: str, lane: str, expected: Verdict) -> None:
    """As long as it asked for, and as long as declared."""
    told = ChatStory()
    attempted(told, 1, "east", refused=1, retry_after=retry_after)
    told.tick(wait_us)
    attempted(told, 2, "east", lane=lane)
    assert verdict("cooldown-respected", told) is expected


def test_a_cooldown_grows() -> None:
    """After the second refusal in a row it is twice as long."""
    for wait_us, expected in ((8 * SECOND, Verdict.BROKEN), (11 * SECOND, Verdict.HOLDS)):
        told = ChatStory()
        for number in (1, 2):
            attempted(told, number, "east", refused=1, retry_after="1")
            told.tick(6 * SECOND)
        told.tick(wait_us - 6 * SECOND)
        attempted(told, 3, "east")
        assert verdict("cooldown-respected", told) is expected


def test_a_new_process_knows_nothing_of_the_cooldown() -> None:
    """It is kept in memory."""
    told = ChatStory()
    attempted(told, 1, "east", refused=1)
    told.add(Restarted(t_us=told.tick(), at="gateway-0", incarnation=2))
    attempted(told, 2, "east")
    assert verdict("cooldown-respected", told) is Verdict.UNTESTED


@pytest.mark.parametrize(
    ("headers", "wait_us"),
    [
        ((("retry-after", "2"),), 2 * SECOND),
        ((("retry-after", "1.5"),), 1_500 * MS),
        ((("retry-after-ms", "250"), ("retry-after", "9")), 250 * MS),
        ((("retry-after", "Thu, 01 Jan 1970 00:00:09 GMT"),), 8 * SECOND),
        ((("retry-after", "-3"),), 0),
        ((("retry-after", "soon"),), 0),
        ((), 0),
    ],
)
def test_how_long_an_answer_asks_for(headers: tuple[tuple[str, str], ...], wait_us: int) -> None:
    """In seconds, a fraction, milliseconds, or until a date."""
    told = ChatStory()
    received = told.reaches(1, accepted=False)
    answered = told.answered(received, b"{}", 429, headers=headers, t_us=SECOND)
    assert hint_us(answered, 0) == wait_us
    assert hint_us(None, 0) == 0


# --- order and return ---------------------------------------------------------------------------------


def test_a_fallback_serves_only_after_what_is_before_it() -> None:
    """After a failure here, or while it cools; never just so."""
    told = ChatStory()
    attempted(told, 1, "east", "west", refused=1)
    attempted(told, 2, "west")
    assert verdict("fallback-in-order", told) is Verdict.HOLDS
    told = ChatStory()
    attempted(told, 1, "west")
    assert "while east of an earlier pool was free" in breaches("fallback-in-order", told)
    told = ChatStory()
    attempted(told, 1, "east", "rome", refused=1)
    assert "while west of an earlier pool was free" in breaches("fallback-in-order", told)


def test_a_backend_that_recovered_is_free_again() -> None:
    """It was refused once, came back, and then was passed over."""
    told = ChatStory()
    attempted(told, 1, "east", "west", refused=1)
    told.tick(200 * SECOND)
    attempted(told, 2, "east")
    attempted(told, 3, "west")
    assert verdict("fallback-in-order", told) is Verdict.BROKEN


def test_a_backend_without_a_price_is_not_free() -> None:
    """Where unpriced models are refused, what is before it serves nobody."""
    told = ChatStory()
    attempted(told, 1, "rome")
    assert verdict("fallback-in-order", told) is Verdict.BROKEN
    told.declared = Declared.read({**chat_config(), "prices": {"haiku": {"input": "1", "output": "5"}}})
    assert verdict("fallback-in-order", told) is Verdict.HOLDS


def test_a_row_names_who_served() -> None:
    """Backend and model are those of the attempt that served."""
    for column in ("backend", "upstream_model"):
        told = ChatStory()
        told.served(1)
        told.chats[0][column] = "west"
        assert "served it with mini" in breaches("fallback-in-order", told)


def test_traffic_returns() -> None:
    """Long after its last failure the first pool gets the calls again; until then nobody can tell."""
    told = ChatStory()
    attempted(told, 1, "east", "west", refused=1)
    told.tick(2 * SECOND)
    attempted(told, 2, "west")
    assert verdict("traffic-returns", told) is Verdict.UNTESTED
    told.tick(100 * SECOND)
    attempted(told, 3, "east")
    assert verdict("traffic-returns", told) is Verdict.HOLDS
    attempted(told, 4, "west")
    assert "went to west" in breaches("traffic-returns", told)


def test_traffic_returns_to_whom_all_were_refused() -> None:
    """A call that is told that every backend is busy, when none has been for long."""
    told = ChatStory()
    attempted(told, 1, "east", refused=1)
    told.tick(100 * SECOND)
    sent = told.asks(2)
    told.reserve(2, HOLD, call="c2")
    told.finalize(2, 0)
    told.noted(2, outcome="failed", amount_nanos=0, status=503)
    told.told(sent, "AllPoolsExhausted", 503, ("retry-after", "1"))
    assert "went to nobody" in breaches("traffic-returns", told)


# --- rates --------------------------------------------------------------------------------------------


def _limited(**limits: int) -> dict[str, object]:
    return {"east": {**chat_config()["backends"]["east"], **limits}}


def test_a_rate_is_kept_in_every_minute() -> None:
    """Three in any minute; a fourth only when the first is a minute old."""
    for wait_us, expected in ((50 * SECOND, Verdict.BROKEN), (61 * SECOND, Verdict.HOLDS)):
        told = ChatStory.under(backends=_limited(rpm=3))
        for number in (1, 2, 3):
            attempted(told, number, "east")
        told.tick(wait_us)
        attempted(told, 4, "east")
        assert verdict("rate-within-limit", told) is expected


def test_tokens_are_kept_in_every_minute() -> None:
    """Once what is known to be used reaches the limit, nobody is let through."""
    for limit, expected in ((80, Verdict.BROKEN), (81, Verdict.HOLDS)):
        told = ChatStory.under(backends=_limited(tpm=limit))
        for number in (1, 2):
            attempted(told, number, "east")
        told.tick(SECOND)
        attempted(told, 3, "east")
        assert verdict("rate-within-limit", told) is expected


def test_the_emergency_lane_has_a_rate() -> None:
    """Six a minute, by its share of sixty."""
    told = ChatStory()
    for number in range(1, 7):
        attempted(told, number, "east", lane="emergency")
    assert verdict("rate-within-limit", told) is Verdict.HOLDS
    attempted(told, 7, "east", lane="emergency")
    assert "the emergency lane of small let through 7" in breaches("rate-within-limit", told)


def test_without_limits_no_rate_is_judged() -> None:
    """Untested."""
    told = ChatStory()
    attempted(told, 1, "east")
    assert verdict("rate-within-limit", told) is Verdict.UNTESTED
