"""One effect and one answer for each key, one verdict for each task: on fixed histories."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.journal import Received
from scenarios.checks import Finding, Verdict

CENT = 10_000_000
SECOND = 1_000_000
Tell = Callable[..., Any]
Judge = Callable[[str, Any], Finding]
ANSWER = b'{"taskId":"t1"}'


def again(told: Any, attempt: int = 2, status: int = 200, body: bytes = ANSWER, **headers: str) -> Any:
    """A repeat under k1, answered as a replay."""
    named = {"content-type": "application/json", "x-proxy-call-id": "c1", "x-idempotent-replay": "true"}
    sent = told.sent(1, attempt, key="k1")
    pairs = tuple({**named, **headers}.items())
    return told.got(sent, status, body, headers=tuple(pair for pair in pairs if pair[1]))


def test_one_key_one_effect(story: Tell, judged: Judge) -> None:
    """A repeat that is answered from memory reaches nobody."""
    told = story().whole(1, key="k1")
    again(told)
    assert judged("one-effect-per-key", told).verdict is Verdict.HOLDS
    assert judged("same-answer-per-key", told).verdict is Verdict.HOLDS


def test_a_key_that_is_used_once_tests_nothing(story: Tell, judged: Judge) -> None:
    """Without a repeat there is no promise to keep."""
    told = story().whole(1, key="k1").whole(2)
    for name in ("one-effect-per-key", "same-answer-per-key"):
        assert judged(name, told).verdict is Verdict.UNTESTED


def test_two_submits_under_one_key_are_a_breach(story: Tell, judged: Judge) -> None:
    """Two requests raced past the check, and both reached the provider."""
    told = story().whole(1, key="k1")
    again(told)
    told.received(nonce="n1")
    finding = judged("one-effect-per-key", told)
    assert finding.verdict is Verdict.BROKEN
    assert "2 submits under key k1 of alice" in finding.sentence
    assert sum(isinstance(fact, Received) for fact in finding.evidence) == 2


def test_a_submit_sent_again_under_its_label_is_one_effect_where_that_is_declared(
    story: Tell, judged: Judge
) -> None:
    """resend, and the same label: one submit. Another label, or no such declaration: two."""
    for resolve, second, verdict in (
        ("resend", "c1", Verdict.HOLDS),
        ("resend", "c2", Verdict.BROKEN),
        ("none", "c1", Verdict.BROKEN),
    ):
        parts = story().declared.providers["rh"]
        told = story()
        provider = replace(parts, resolve=resolve, label_header="idempotency-key")
        told.declared = replace(told.declared, providers={"rh": provider})
        told.whole(1, key="k1")
        again(told)
        first = next(fact for fact in told.facts if isinstance(fact, Received))
        labelled = replace(first, headers=(*first.headers, ("idempotency-key", "c1")))
        told.facts[told.facts.index(first)] = labelled
        told.received(nonce="n1", headers=(*first.headers, ("idempotency-key", second)))
        assert judged("one-effect-per-key", told).verdict is verdict, (resolve, second)


def test_two_calls_for_one_key_are_a_breach(story: Tell, judged: Judge) -> None:
    """Each of them took a hold; a call that was rejected before its hold is none."""
    for state, verdict in (("finalized", Verdict.BROKEN), ("rejected", Verdict.HOLDS)):
        told = story().whole(1, key="k1")
        again(told)
        told.row(2, state=state, task_id=None, idempotency_key="k1", amount_nanos=0)
        assert judged("one-effect-per-key", told).verdict is verdict


def test_two_holds_for_one_key_are_a_breach(story: Tell, judged: Judge) -> None:
    """The call is one, and billing was asked twice under different keys of its own."""
    told = story().whole(1, key="k1")
    again(told)
    told.reserve(9, call="c1")
    finding = judged("one-effect-per-key", told)
    assert finding.verdict is Verdict.BROKEN
    assert "2 holds" in finding.sentence


@pytest.mark.parametrize(
    ("over", "difference"),
    [
        ({"status": 201}, "status"),
        ({"body": b"{}"}, "body"),
        ({"content-type": "text/plain"}, "header: content-type"),
        ({"x-proxy-call-id": ""}, "header: x-proxy-call-id"),
    ],
)
def test_another_answer_to_a_repeat_is_a_breach(
    story: Tell, judged: Judge, over: dict[str, Any], difference: str
) -> None:
    """Status, body and declared headers are those of the first answer."""
    told = story().whole(1, key="k1")
    again(told, **over)
    finding = judged("same-answer-per-key", told)
    assert finding.verdict is Verdict.BROKEN
    assert difference in finding.sentence


def test_a_replayed_error_keeps_its_status(story: Tell, judged: Judge) -> None:
    """The provider said 422; a repeat that hears 200 with the same body was lied to."""
    for status, verdict in ((422, Verdict.HOLDS), (200, Verdict.BROKEN)):
        told = story()
        refused = b'{"errorCode":"1505"}'
        told.got(told.sent(1, key="k1"), 422, refused)
        repeat = told.sent(1, 2, key="k1")
        own = (("content-type", "application/json"), ("x-idempotent-replay", "true"))
        told.got(repeat, status, refused, headers=own)
        assert judged("same-answer-per-key", told).verdict is verdict


def test_refusals_before_the_hold_bind_nothing(story: Tell, judged: Judge) -> None:
    """402, 503, 409 and an unknown outcome may be followed by the true answer."""
    told = story()
    for attempt, (code, status) in enumerate(
        (
            ("insufficient_funds", 402),
            ("billing_unavailable", 503),
            ("in_flight", 409),
            ("outcome_unknown", 504),
        ),
        start=1,
    ):
        told.refused(told.sent(1, attempt, key="k1"), code, status)
    again(told, 5)
    again(told, 6)
    assert judged("same-answer-per-key", told).verdict is Verdict.HOLDS


def test_an_answer_that_is_no_replay_twice_is_a_breach(story: Tell, judged: Judge) -> None:
    """Both claim to be the first."""
    told = story().whole(1, key="k1")
    again(told, **{"x-idempotent-replay": ""})
    finding = judged("same-answer-per-key", told)
    assert finding.verdict is Verdict.BROKEN
    assert "not marked as replays" in finding.sentence


def test_another_body_under_a_key_is_refused_and_reaches_nobody(story: Tell, judged: Judge) -> None:
    """422 is right; the first body's answer is wrong, and so is a submit of its own."""
    for kind, verdict in (
        ("refused", Verdict.HOLDS),
        ("answered", Verdict.BROKEN),
        ("reached", Verdict.BROKEN),
    ):
        told = story().whole(1, key="k1")
        other = told.sent(2, key="k1", body=b'{"nonce":"n2","other":true}')
        if kind == "refused":
            told.refused(other, "key_reused", 422)
        elif kind == "answered":
            told.got(other, 200, ANSWER)
        else:
            told.received(nonce="n2")
            told.got(other, None)
        assert judged("same-answer-per-key", told).verdict is verdict, kind


def test_a_key_may_serve_again_once_it_is_forgotten(story: Tell, judged: Judge) -> None:
    """After the declared time the key stands for nothing."""
    told = story(idempotency={"keep": "1h"}).whole(1, key="k1")
    told.tick(3601 * SECOND)
    again(told, 2, 201)
    told.received(nonce="n1")
    assert judged("same-answer-per-key", told).verdict is Verdict.UNTESTED
    assert judged("one-effect-per-key", told).verdict is Verdict.UNTESTED


# Verdicts.


def test_no_verdict_no_test(story: Tell, judged: Judge) -> None:
    """As long as no caller was told of an end, there is nothing that could change."""
    told = story()
    told.submit(1)
    told.poll(1, "RUNNING")
    assert judged("verdict-stays", told).verdict is Verdict.UNTESTED


def test_a_verdict_stays(story: Tell, judged: Judge) -> None:
    """Later polls get the first terminal answer, from memory."""
    told = story().whole(1)
    first = told.facts[-1]
    told.got(told.sent(1, 3, "poll", task_id="t1"), 200, first.body)
    assert judged("verdict-stays", told).verdict is Verdict.HOLDS


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
def test_a_verdict_that_flaps_is_a_breach(story: Tell, judged: Judge, status: str) -> None:
    """Success, and then something else."""
    told = story().whole(1)
    body = b'{"taskId":"t1","status":"%s"}' % status.encode()
    told.got(told.sent(1, 3, "poll", task_id="t1"), 200, body)
    finding = judged("verdict-stays", told)
    assert finding.verdict is Verdict.BROKEN
    assert "body" in finding.sentence


def test_asking_the_provider_again_after_a_verdict_is_a_breach(story: Tell, judged: Judge) -> None:
    """The answer is stored; nobody needs to be asked. What was on its way already is no breach."""
    for later, verdict in ((SECOND, Verdict.HOLDS), (60 * SECOND, Verdict.BROKEN)):
        told = story().whole(1)
        told.tick(later)
        told.received("poll", task_id="t1")
        assert judged("verdict-stays", told).verdict is verdict


def test_a_record_unlike_what_the_caller_was_told_is_a_breach(story: Tell, judged: Judge) -> None:
    """The caller heard of a success; the ledger was overwritten with a failure."""
    told = story().whole(1)
    told.calls[0]["outcome"] = "failed"
    finding = judged("verdict-stays", told)
    assert finding.verdict is Verdict.BROKEN
    assert "the record says failed" in finding.sentence
