"""The checks of what callers of chats hear, and who may hear it, on histories told by hand."""

from typing import Any

import pytest

from fakes.journal import Received
from scenarios.checks import Verdict
from scenarios.history import Calm, Escaped, LinkChanged
from tests.scenarios.chat_kit import HOLD, SECOND, ChatStory, breaches, verdict


def streamed(told: ChatStory, number: int = 1, **over: Any) -> Received:
    """A stream of some words, heard to its end."""
    return told.served(number, stream=True, **over)


def broken(told: ChatStory, heard: str, text: str, **over: Any) -> None:
    """A stream that the backend broke off after `text`, of which its caller heard so much."""
    sent = told.asks(1, stream=True)
    told.reserve(1, HOLD, call="c1")
    received = told.reaches(1, stream=True)
    told.says(received, complete=False, text=text, usage_shown=None, output_text=2)
    told.failed(1, received, "truncated", status=200)
    told.finalize(1, 0)
    told.noted(1, outcome="broken", amount_nanos=0, flags=["unbilled_work"], usage_source="none")
    told.hears(sent)
    told.understood(sent, heard, **{"outcome": "error", "error": "upstream_truncated", **over})


WORDS = "[nonce:n1 by east/1] some words"


def test_a_whole_answer_was_whole() -> None:
    """Half an answer that sounds like a whole one is a breach; an error is none."""
    told = ChatStory()
    broken(told, WORDS, WORDS, outcome="ok", error=None)
    assert "broke its answer off" in breaches("no-truncated-success", told)
    told = ChatStory()
    broken(told, WORDS, WORDS)
    assert verdict("no-truncated-success", told) is Verdict.UNTESTED
    streamed(told, 2)
    assert verdict("no-truncated-success", told) is Verdict.HOLDS


@pytest.mark.parametrize(
    "heard", ["[nonce:n1 by east/1] some word", "[nonce:n1 by east/1] words some", WORDS * 2]
)
def test_the_words_come_through(heard: str) -> None:
    """None lost, in their order, none twice."""
    told = ChatStory()
    streamed(told)
    assert verdict("bytes-intact", told) is Verdict.HOLDS
    sent = told.asks(2, nonce="n1")
    told.understood(sent, heard)
    assert "is not what east said" in breaches("bytes-intact", told)


def test_of_a_broken_stream_the_beginning_comes_through() -> None:
    """What was heard before the error is what was said."""
    for heard, expected in (
        ("[nonce:n1 by east/1] so", Verdict.HOLDS),
        ("[nonce:n1 by east/1] X", Verdict.BROKEN),
    ):
        told = ChatStory()
        broken(told, heard, WORDS)
        assert verdict("bytes-intact", told) is expected


def test_a_sound_answer_is_not_called_off() -> None:
    """A backend that was still answering did not break off."""
    for ended_by, expected in (("server", Verdict.HOLDS), ("client", Verdict.BROKEN)):
        told = ChatStory()
        sent = told.asks(1, stream=True)
        received = told.reaches(1, stream=True)
        told.says(received, answer=False, complete=False, text=WORDS)
        told.answered(received, complete=False, ended_by=ended_by)
        told.failed(1, received, "truncated", status=200)
        told.noted(1, outcome="broken", amount_nanos=0, flags=["unbilled_work"], usage_source="none")
        told.hears(sent)
        told.understood(sent, WORDS, outcome="error", error="upstream_truncated")
        assert verdict("bytes-intact", told) is expected


def test_a_tool_call_comes_through_whole() -> None:
    """Its arguments are one object."""
    arguments = '{"nonce": "n1", "by": "east/1"}'
    for given, finish, expected in (
        (arguments, "tool_calls", Verdict.HOLDS),
        (arguments[:-1], "tool_calls", Verdict.BROKEN),
        (arguments + "}", "tool_calls", Verdict.BROKEN),
        (arguments[:-1], "length", Verdict.HOLDS),  # as much of it as there was room for
    ):
        told = ChatStory()
        streamed(told, tokens={"text": ""})
        told.understood(told.asks(2, nonce="n1"), "", calls=(("find", given),), finish=finish)
        assert verdict("bytes-intact", told) is expected


def test_no_second_voice() -> None:
    """Two backends in one answer."""
    told = ChatStory()
    streamed(told)
    assert verdict("never-restarts", told) is Verdict.HOLDS
    told.understood(told.asks(2, nonce="n1"), WORDS + "[nonce:n1 by west/3] other words")
    assert "in one answer speak east/1, west/3" in breaches("never-restarts", told)


def test_no_second_attempt_after_a_token() -> None:
    """Even if nobody hears it."""
    told = ChatStory()
    sent = told.asks(1, stream=True)
    first = told.reaches(1, stream=True)
    told.says(first, complete=False)
    told.failed(1, first, "truncated")
    heard_us = told.now_us
    second = told.reaches(1, "west", stream=True)
    told.says(second)
    told.tried(1, second)
    told.noted(1)
    told.hears(sent)
    told.understood(sent, WORDS, first_us=heard_us)
    assert "after its caller had heard a token" in breaches("never-restarts", told)


@pytest.mark.parametrize(
    ("policy", "after_us", "expected"),
    [
        ("abort", SECOND, Verdict.HOLDS),
        ("abort", 20 * SECOND, Verdict.BROKEN),
        ("drain", 20 * SECOND, Verdict.HOLDS),
        ("drain", 70 * SECOND, Verdict.BROKEN),
    ],
)
def test_leaving_reaches_the_backend(policy: str, after_us: int, expected: Verdict) -> None:
    """At once, or within the time of a drain."""
    told = ChatStory.under(chat={"client_leaves": policy})
    sent = told.asks(1, stream=True)
    received = told.reaches(1, stream=True)
    told.leaves(sent)
    told.tick(after_us - SECOND)
    told.says(received, complete=False, delivered=20)
    told.failed(1, received, "left")
    told.noted(1, outcome="left", amount_nanos=0)
    told.understood(sent, outcome="left")
    assert verdict("cancel-reaches-upstream", told) is expected


def test_a_stream_that_goes_on_for_ever_is_no_matter_of_its_end() -> None:
    """It was still going on when everything was read."""
    told = ChatStory.under(chat={"client_leaves": "abort"})
    sent = told.asks(1, stream=True)
    received = told.reaches(1, stream=True)
    told.leaves(sent)
    told.tried(1, received)
    told.noted(1, outcome="left")
    told.understood(sent, outcome="left")
    told.tick(60 * SECOND)
    assert "had left" in breaches("cancel-reaches-upstream", told)


def test_no_attempt_begins_after_leaving() -> None:
    """Nobody would hear it."""
    told = ChatStory()
    sent = told.asks(1, stream=True)
    told.leaves(sent)
    told.tick(10 * SECOND)
    received = told.reaches(1, stream=True)
    told.says(received)
    told.tried(1, received)
    told.noted(1, outcome="left")
    told.understood(sent, outcome="left")
    assert "after its caller had left" in breaches("cancel-reaches-upstream", told)


def test_who_runs_on_by_himself_is_no_breach() -> None:
    """A backend that works on without its client is its own affair."""
    told = ChatStory.under(chat={"client_leaves": "abort"})
    sent = told.asks(1, stream=True)
    received = told.reaches(1, stream=True)
    told.leaves(sent)
    told.tick(60 * SECOND)
    told.says(received, complete=False, delivered=2, output_text=500, ran_on=True)
    told.failed(1, received, "left")
    told.noted(1, outcome="left")
    told.understood(sent, outcome="left")
    assert verdict("cancel-reaches-upstream", told) is Verdict.UNTESTED


# --- time ---------------------------------------------------------------------------------------------


def test_an_answer_comes_in_the_time_of_chats() -> None:
    """Five minutes, and not the minute of tasks."""
    for took_us, expected in ((200 * SECOND, Verdict.HOLDS), (330 * SECOND, Verdict.BROKEN)):
        told = ChatStory()
        sent = told.asks(1)
        told.tick(took_us)
        told.hears(sent)
        assert verdict("answers-in-time", told) is expected


def test_no_silence_between_two_tokens() -> None:
    """Thirty seconds; before the first token a failover may take longer; a client's own line is its own."""
    for longest_us, expected in ((30 * SECOND, Verdict.HOLDS), (50 * SECOND, Verdict.BROKEN)):
        told = ChatStory()
        sent = told.asks(1, stream=True)
        told.hears(sent)
        told.understood(sent, longest_us=longest_us)
        assert verdict("answers-in-time", told) is expected
    told.add(LinkChanged(t_us=0, at="x", src="client", dst="gateway-0", what="trickle"))
    assert verdict("answers-in-time", told) is Verdict.HOLDS


def test_a_plain_call_to_each_model_succeeds_afterwards() -> None:
    """Another model's success is no help."""
    told = ChatStory()
    told.calm = False
    history = [(1, "small", 200), (2, "large", 503)]
    told.add(Calm(t_us=told.tick(), at="world"))
    for number, model, status in history:
        sent = told.asks(number, model=model, op="probe")
        told.hears(sent, status)
    assert "the model large" in breaches("alive-afterwards", told)
    told.refuses(told.reaches(2, accepted=False), reason="tokens")
    assert verdict("alive-afterwards", told) is Verdict.HOLDS  # its own limit, and no fault of anybody


# --- reach --------------------------------------------------------------------------------------------


def test_keys_stay_where_they_belong() -> None:
    """A backend's key in its own header; at another, or in an answer, it is a leak."""
    told = ChatStory()
    told.served(1)
    told.served(2, "rome", nanos=120_000)
    assert verdict("canaries-contained", told) is Verdict.HOLDS
    told.reaches(3, "west", headers=(("authorization", "Bearer canary-provider-east"),))
    assert "was sent to west" in breaches("canaries-contained", told)
    told = ChatStory()
    told.served(1)
    told.debug.append({"debug_id": "d1", "request_id": "c1", "body": "canary-provider-east"})
    assert "the record (debug.body)" in breaches("canaries-contained", told)


def test_a_backend_is_sent_what_it_needs_and_no_more() -> None:
    """No header of the caller's own; none of Anthropic's at OpenAI."""
    for name in ("x-thread-id", "anthropic-version", "cookie"):
        told = ChatStory()
        told.served(1)
        assert verdict("headers-clean", told) is Verdict.HOLDS
        told.reaches(2, headers=(("authorization", "Bearer canary-provider-east"), (name, "x")))
        assert name in breaches("headers-clean", told)
    told = ChatStory()
    told.hears(told.asks(1), more=(("openai-organization", "org"),))
    assert "openai-organization" in breaches("headers-clean", told)


def test_an_answer_is_its_own_callers() -> None:
    """Words for another question, or for another account."""
    told = ChatStory()
    told.served(1)
    told.served(2, account="bob")
    assert verdict("tenants-apart", told) is Verdict.HOLDS
    told.understood(told.asks(3), WORDS)
    assert "is made of words for n1" in breaches("tenants-apart", told)


def test_a_backend_that_tells_others_words_is_to_blame_itself() -> None:
    """The gateway cannot know."""
    told = ChatStory()
    received = told.served(1)
    told.plays(received, "answer_leak")
    told.understood(told.asks(3), WORDS)
    assert verdict("tenants-apart", told) is Verdict.UNTESTED


def test_no_host_that_is_not_configured() -> None:
    """Backends are; others are not."""
    told = ChatStory()
    told.served(1)
    assert verdict("egress-allow-listed", told) is Verdict.HOLDS
    told.add(Escaped(t_us=told.tick(), at="gateway-0", host="evil.test"))
    assert verdict("egress-allow-listed", told) is Verdict.BROKEN


# --- errors -------------------------------------------------------------------------------------------

_ANTHROPIC = b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}'
_OPENAI = b'{"error":{"message":"no","type":"server_error","param":null,"code":"x"}}'
_GEMINI = b'{"error":{"code":503,"message":"no","status":"UNAVAILABLE"}}'


@pytest.mark.parametrize(
    ("path", "code", "status", "body", "right"),
    [
        ("/v1/chat/completions", "overloaded", 503, _OPENAI, True),
        ("/v1/chat/completions", "overloaded", 529, _OPENAI, False),
        ("/v1/chat/completions", "overloaded", 503, _ANTHROPIC, False),
        ("/v1/messages", "overloaded", 529, _ANTHROPIC, True),
        ("/v1/messages", "overloaded", 529, _OPENAI, False),
        ("/v1/messages", "no_money", 402, _ANTHROPIC, True),
        ("/v1/responses", "timeout", 504, _OPENAI, True),
        ("/v1beta/models/small:generateContent", "overloaded", 503, _GEMINI, True),
        ("/v1beta/models/small:generateContent", "overloaded", 503, _OPENAI, False),
        ("/v1beta/models/small:generateContent", "no_money", 402, _GEMINI, True),
        ("/v1beta/models/small:generateContent", "no_money", 429, _GEMINI, False),
        ("/v1/chat/completions", "AllPoolsExhausted", 503, _OPENAI, False),  # it does not say when
        ("/v1/chat/completions", "made_up", 500, _OPENAI, False),
        ("/v1/chat/completions", None, 500, _OPENAI, False),
    ],
)
def test_an_error_is_told_in_the_callers_protocol(
    path: str, code: str | None, status: int, body: bytes, right: bool
) -> None:
    """Its status, its shape, its code."""
    told = ChatStory()
    more = (("x-refgate-error", code),) if code is not None else ()
    told.hears(told.asks(1, path=path), status, body, more=more)
    assert verdict("error-mapped", told) is (Verdict.HOLDS if right else Verdict.BROKEN)


@pytest.mark.parametrize(
    ("path", "body", "right"),
    [
        ("/v1/chat/completions", b'{"choices":[]}', True),
        ("/v1/chat/completions", b"null", False),
        ("/v1/chat/completions", b'{"error":{"message":"x"},"choices":[]}', False),
        ("/v1/messages", b'{"content":[]}', True),
        ("/v1/messages", b'{"choices":[]}', False),
        ("/v1/responses", b'{"output":[],"error":null}', True),
        ("/v1/embeddings", b'{"data":[]}', True),
        ("/v1beta/models/small:generateContent", b'{"candidates":[]}', True),
        ("/v1beta/models/small:generateContent", b'{"promptFeedback":{}}', True),
    ],
)
def test_a_success_has_the_shape_of_one(path: str, body: bytes, right: bool) -> None:
    """Whatever the status says."""
    told = ChatStory()
    told.hears(told.asks(1, path=path), 200, body)
    assert verdict("error-mapped", told) is (Verdict.HOLDS if right else Verdict.BROKEN)


def test_the_gateways_own_key_is_not_the_callers_business() -> None:
    """A backend's 401 is not told as one."""
    for status, code, expected in ((401, "unauthorized", Verdict.BROKEN), (502, "broken", Verdict.HOLDS)):
        told = ChatStory()
        sent = told.asks(1)
        received = told.reaches(1, accepted=False)
        told.refuses(received, 401)
        told.failed(1, received, "unauthorized", status=401)
        told.noted(1, outcome="failed", amount_nanos=0, status=status)
        told.told(sent, code, status)
        assert verdict("error-mapped", told) is expected
