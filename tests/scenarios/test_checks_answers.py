"""Answers: in time, whole, as the provider gave them, and nothing left behind: on fixed histories."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.journal import Answered
from scenarios.checks import Finding, Verdict, judge
from scenarios.history import Calm, History, Left, LinkChanged, Resources

SECOND = 1_000_000
Tell = Callable[..., Any]
Judge = Callable[[str, Any], Finding]


def test_answers_come_in_time(story: Tell, judged: Judge) -> None:
    """An answer, a broken connection and a client that leaves are all ends."""
    told = story().whole(1)
    told.got(told.sent(2), None)
    sent = told.sent(3)
    told.add(Left(t_us=told.tick(), at=sent.at, call=3, attempt=1, op="submit"))
    assert judged("answers-in-time", told).verdict is Verdict.HOLDS


def test_a_late_answer_is_a_breach(story: Tell, judged: Judge) -> None:
    """60 s are declared for the call, 10 s of them may pass in waiting for a key, and the way takes some."""
    for took, verdict in ((80, Verdict.HOLDS), (81, Verdict.BROKEN)):
        told = story()
        sent = told.sent(1)
        told.tick(took * SECOND - 10_000)
        told.got(sent)
        assert judged("answers-in-time", told).verdict is verdict


def test_a_request_without_end_is_a_breach(story: Tell, judged: Judge) -> None:
    """The client hangs for ever; shortly after sending, nothing is known yet."""
    told = story()
    told.sent(1)
    assert judged("answers-in-time", told).verdict is Verdict.BROKEN
    told.settle_us = SECOND
    assert judged("answers-in-time", told).verdict is Verdict.UNTESTED


def test_a_broken_line_of_the_client_is_his_own(story: Tell, judged: Judge) -> None:
    """Silence between client and gateway is not the gateway's."""
    told = story()
    told.sent(1)
    told.add(LinkChanged(t_us=told.tick(), at="x", src="client", dst="gateway-0", what="blackhole"))
    assert judged("answers-in-time", told).verdict is Verdict.UNTESTED


def test_a_plain_call_afterwards_must_succeed(story: Tell, judged: Judge) -> None:
    """One success per provider is enough; none is a breach; no probe is no test."""
    assert judged("alive-afterwards", story().whole(1)).verdict is Verdict.UNTESTED
    for statuses, verdict in (((200,), Verdict.HOLDS), ((502, 200), Verdict.HOLDS), ((502,), Verdict.BROKEN)):
        told = story()
        told.calm = False
        told.add(Calm(t_us=told.tick(), at="world"))
        for attempt, status in enumerate(statuses, start=1):
            told.got(told.sent(1, attempt, "probe"), status)
        assert judged("alive-afterwards", told).verdict is verdict


@pytest.mark.parametrize("what", ["tasks", "exchanges", "connections"])
def test_what_is_left_over_is_a_breach(story: Tell, judged: Judge, what: str) -> None:
    """A replica that holds more than before the first request has leaked it."""
    told = story().whole(1)
    assert judged("resources-return", told).verdict is Verdict.HOLDS
    history = told.history()
    final = history.of(Resources)[-1]
    facts = [replace(fact, **{what: getattr(fact, what) + 1}) if fact is final else fact for fact in history]
    leaked = History(iter(facts))
    finding = next(one for one in judge(leaked, told.declared) if one.check == "resources-return")
    assert finding.verdict is Verdict.BROKEN
    assert what in finding.sentence


def test_bytes_are_handed_on_as_they_are(story: Tell, judged: Judge) -> None:
    """A list stays a list; an invented object in its place is a breach."""
    for body, verdict in ((b"[1,2]", Verdict.HOLDS), (b"{}", Verdict.BROKEN)):
        told = story()
        sent = told.sent(1)
        told.answered(told.received(nonce="n1"), b"[1,2]")
        told.got(sent, 200, body)
        assert judged("bytes-intact", told).verdict is verdict


def test_a_status_that_the_provider_did_not_give_is_a_breach(story: Tell, judged: Judge) -> None:
    """An error handed on as a success."""
    told = story()
    sent = told.sent(1)
    told.answered(told.received(nonce="n1"), b"no", status=422)
    told.got(sent, 200, b"no")
    assert judged("bytes-intact", told).verdict is Verdict.BROKEN


def test_a_stored_answer_is_one_that_the_provider_gave(story: Tell, judged: Judge) -> None:
    """A poll may be answered from memory, with bytes of an earlier poll of that task."""
    told = story().whole(1)
    body = told.facts[-1].body
    told.got(told.sent(1, 3, "poll", task_id="t1"), 200, body)
    assert judged("bytes-intact", told).verdict is Verdict.HOLDS
    told.got(told.sent(1, 4, "poll", task_id="t1"), 200, body + b" ")
    assert judged("bytes-intact", told).verdict is Verdict.BROKEN


def test_half_an_answer_is_no_success(story: Tell, judged: Judge) -> None:
    """The provider broke off: the caller must hear of it."""
    told = story()
    sent = told.sent(1)
    whole = told.answered(told.received(nonce="n1"), b'{"taskId":"t1"}')
    cut = replace(whole, complete=False, body_bytes=5, body_digest=None, ended_by="reset")
    told.facts[told.facts.index(whole)] = cut
    assert isinstance(cut, Answered)
    told.got(sent, 200, b'{"tas')
    finding = judged("no-truncated-success", told)
    assert finding.verdict is Verdict.BROKEN
    told.facts.pop()
    told.refused(sent, "outcome_unknown", 504)
    assert judged("no-truncated-success", told).verdict is Verdict.HOLDS
    assert judged("no-truncated-success", story().whole(1)).verdict is Verdict.UNTESTED


def test_half_an_answer_that_nobody_can_compare_is_no_pass(story: Tell, judged: Judge) -> None:
    """It was compressed on its way: its bytes say nothing, and nothing is held for it."""
    told = story()
    sent = told.sent(1)
    whole = told.answered(told.received(nonce="n1"), b'{"taskId":"t1"}')
    assert isinstance(whole, Answered)
    headers = (("content-encoding", "gzip"),)
    told.facts[told.facts.index(whole)] = replace(
        whole, complete=False, body_bytes=5, body_digest=None, ended_by="reset", headers=headers
    )
    told.got(sent, 200, b'{"tas')
    assert judged("no-truncated-success", told).verdict is Verdict.UNTESTED
