"""The checks of what is kept of chats, and of settings at work, on histories told by hand."""

import json
from typing import Any

import pytest

from scenarios.checks import Verdict
from scenarios.declared.gateway import Declared
from scenarios.history import GatewayLogged
from tests.scenarios.chat_kit import COST, HOLD, SECOND, ChatStory, breaches, chat_config, verdict

CACHE = {"cache": {"ttl": "1m"}}


# --- the request log ----------------------------------------------------------------------------------


def test_each_request_has_its_row() -> None:
    """One, also of a refusal; not none, not two."""
    told = ChatStory()
    told.served(1)
    told.told(told.asks(2), "unauthorized", 401)
    assert "request c2 has 0 rows" in breaches("requests-logged", told)
    told.logged(2, status=401, account=None, amount_nanos=0)
    assert verdict("requests-logged", told) is Verdict.HOLDS
    told.logged(2, status=401, account=None, amount_nanos=0)
    assert "request c2 has 2 rows" in breaches("requests-logged", told)


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [("status", 500, "status 500"), ("account", "bob", "account bob"), ("amount_nanos", 1, "0.000000001")],
)
def test_a_row_says_what_was(column: str, value: object, word: str) -> None:
    """Status, account, charge."""
    told = ChatStory()
    told.served(1)
    told.requests[0][column] = value
    assert word in breaches("requests-logged", told)


def test_a_call_whose_caller_left_is_logged_too() -> None:
    """The call ended; a row says so. A call lost with its replica may have none."""
    for outcome, expected in (("left", Verdict.BROKEN), ("lost", Verdict.HOLDS)):
        told = ChatStory()
        told.served(1)
        told.requests.clear()
        told.logged(1)
        told.leaves(told.asks(2))
        told.noted(2, outcome=outcome, amount_nanos=0)
        told.requests.pop()
        assert verdict("requests-logged", told) is expected


def test_a_row_is_kept_as_long_as_declared() -> None:
    """An hour has gone by since the call."""
    for keep, expected in (("7d", Verdict.BROKEN), ("1m", Verdict.UNTESTED)):
        told = ChatStory.under(request_log={"keep": keep})
        told.served(1)
        told.requests.clear()
        assert verdict("requests-logged", told) is expected


def test_a_request_without_room_is_told_of() -> None:
    """A line of the log stands for its row."""
    told = ChatStory()
    told.served(1)
    told.requests.clear()
    told.add(GatewayLogged(t_us=told.tick(), at="gateway-0", event="request-unlogged", text="id=c1"))
    assert verdict("requests-logged", told) is Verdict.HOLDS


def test_bodies_are_kept_as_declared() -> None:
    """Off: none. On: cut."""
    row = {"debug_id": "d1", "request_id": "c1", "body": "x" * 2_000}
    told = ChatStory()
    told.served(1)
    told.debug.append(row)
    assert "the debug log is off" in breaches("requests-logged", told)
    for size, expected in (("1KiB", Verdict.BROKEN), ("2KiB", Verdict.HOLDS)):
        told = ChatStory.under(request_log={"body": size})
        told.served(1)
        told.debug.append(row)
        assert verdict("requests-logged", told) is expected


def test_without_a_reading_nothing_is_said_of_the_log() -> None:
    """Untested."""
    told = ChatStory()
    told.read = False
    told.served(1)
    assert verdict("requests-logged", told) is Verdict.UNTESTED


# --- the cache ----------------------------------------------------------------------------------------


def hit(told: ChatStory, number: int, text: str = "[nonce:n1 by east/1] some words", **over: Any) -> None:
    """An answer from the cache."""
    account, nanos = over.pop("account", "alice"), over.pop("nanos", 0)
    asked = dict(over.pop("asked", {}))
    fields = {"temperature": 0, **asked.pop("fields", {})}
    sent = told.asks(number, account=account, nonce="n1", fields=fields, **asked)
    told.reserve(number, HOLD, account=account, call=f"c{number}")
    told.finalize(number, nanos, account=account)
    told.noted(number, account=account, cache="hit", outcome="cached", amount_nanos=nanos)
    told.hears(sent, more=(("x-cache", "HIT"),))
    told.understood(sent, text, **over)


def cached(**parts: Any) -> ChatStory:
    told = ChatStory.under(**{**CACHE, **parts})
    told.served(1, fields={"temperature": 0})
    return told


def test_an_honest_hit() -> None:
    """The same question of the same account, soon after, for nothing."""
    told = cached()
    assert verdict("cache-honest", told) is Verdict.UNTESTED
    hit(told, 2)
    assert verdict("cache-honest", told) is Verdict.HOLDS
    for name in ("failure-is-free", "cost-equals-tokens-times-price", "tenants-apart", "requests-logged"):
        assert verdict(name, told) in (Verdict.HOLDS, Verdict.UNTESTED)


@pytest.mark.parametrize(
    ("over", "word"),
    [
        ({"account": "bob"}, "alice had asked for it"),
        ({"asked": {"fields": {"top_p": 0.5}}}, "the question was another"),
        ({"asked": {"fields": {"temperature": 1}}}, "leaves the answer to chance"),
        ({"finish": "length"}, "not said to its end"),
        ({"asked": {"protocol": "anthropic"}}, "the question was another"),
        ({"nanos": COST}, "it is free"),
    ],
)
def test_a_hit_that_is_none_of_its_callers(over: dict[str, Any], word: str) -> None:
    """Another account's, another question's, one for chance to answer, or half of one; or not what a hit
    costs."""
    told = cached()
    hit(told, 2, **over)
    assert word in breaches("cache-honest", told)


def test_a_stream_may_be_told_from_what_came_whole() -> None:
    """How it is told is no part of the question."""
    told = cached()
    hit(told, 2, asked={"stream": True})
    assert verdict("cache-honest", told) is Verdict.HOLDS


def test_what_is_too_old_is_not_given() -> None:
    """A minute."""
    told = cached()
    told.tick(90 * SECOND)
    hit(told, 2)
    assert "it is older than 60 s" in breaches("cache-honest", told)


def test_half_an_answer_is_not_kept() -> None:
    """Nor one that the backend never ended."""
    told = ChatStory.under(**CACHE)
    told.served(1, tokens={"complete": False}, fields={"temperature": 0})
    hit(told, 2)
    assert "never ended that answer" in breaches("cache-honest", told)


def test_an_error_is_not_kept() -> None:
    """A 429 from the cache."""
    told = cached()
    sent = told.asks(2)
    told.told(sent, "rate_limited", 429, ("x-cache", "HIT"))
    told.understood(sent, outcome="error", status=429)
    assert "it is no success" in breaches("cache-honest", told)


def test_a_hit_costs_what_is_declared() -> None:
    """At full price: what the first answer cost."""
    full = {"cache": {"ttl": "1m", "hit": "full_price"}}
    for nanos, expected in ((COST, Verdict.HOLDS), (0, Verdict.BROKEN)):
        told = cached(**full)
        hit(told, 2, nanos=nanos)
        assert verdict("cache-honest", told) is expected


def test_without_a_cache_nothing_comes_from_one() -> None:
    """And with one, no backend works for a hit."""
    told = ChatStory()
    told.served(1)
    hit(told, 2)
    assert "there is no cache" in breaches("cache-honest", told)
    told = cached()
    hit(told, 2)
    told.tried(2, None)
    assert "it made 1 attempts" in breaches("cache-honest", told)


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasted_us", "expected"),
    [(60 * SECOND, Verdict.HOLDS), (30 * SECOND, Verdict.BROKEN), (120 * SECOND, Verdict.BROKEN)],
)
def test_a_time_out_is_one_of_those_declared(lasted_us: int, expected: Verdict) -> None:
    """Sixty seconds for the head of an answer."""
    told = ChatStory()
    told.asks(1)
    received = told.reaches(1)
    told.tick(lasted_us)
    told.says(received, complete=False, answer=False)
    told.answered(received, complete=False, status=None, ended_by="client")
    told.failed(1, received, "timeout", started_us=received.t_us, ended_us=received.t_us + lasted_us)
    told.noted(1, outcome="failed", amount_nanos=0)
    assert verdict("config-is-live", told) is expected


def test_a_model_without_a_price_is_not_called() -> None:
    """Where that is declared."""
    for policy, expected in (("refuse", Verdict.BROKEN), ("zero", Verdict.UNTESTED)):
        told = ChatStory.under(chat={"unpriced_model": policy})
        told.declared = Declared.read({**chat_config(chat={"unpriced_model": policy}), "prices": {}})
        told.served(1)
        assert verdict("config-is-live", told) is expected


@pytest.mark.parametrize(
    ("asked", "bound", "expected"),
    [({}, 100, Verdict.HOLDS), ({}, 4_096, Verdict.BROKEN), ({"max_tokens": 7}, 7, Verdict.HOLDS)],
)
def test_an_answer_is_bounded_as_declared(asked: dict[str, int], bound: int, expected: Verdict) -> None:
    """Where the protocol must be told: by the caller's word, else by the model's."""
    told = ChatStory()
    told.asks(1, fields=asked)
    body = json.dumps({"model": "haiku", "max_tokens": bound}).encode()
    told.says(told.reaches(1, "rome", body=body))
    assert verdict("config-is-live", told) is expected


def test_a_debug_log_that_is_on_has_something() -> None:
    """Of each request that was served."""
    told = ChatStory.under(request_log={"body": "1KiB"})
    told.tick()
    told.served(1)
    assert "has nothing of c1" in breaches("config-is-live", told)
    told.debug.append({"debug_id": "d1", "request_id": "c1", "body": ""})
    assert verdict("config-is-live", told) is Verdict.HOLDS
