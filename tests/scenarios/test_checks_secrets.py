"""Secrets, headers, tenants and errors: on fixed histories."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.journal import Received
from scenarios.checks import Finding, Verdict
from scenarios.history import AppFailed, Escaped, GatewayLogged, Got, Observed

SECOND = 1_000_000
Tell = Callable[..., Any]
Judge = Callable[[str, Any], Finding]


def bend(told: Any, kind: type, **over: Any) -> Any:
    """Replaces the first fact of this kind by one that differs."""
    first = next(fact for fact in told.facts if isinstance(fact, kind))
    told.facts[told.facts.index(first)] = replace(first, **over)
    return told


# Canaries.


def test_keys_where_they_belong_are_no_leak(story: Tell, judged: Judge) -> None:
    """The provider's key in its own auth header, and nowhere else."""
    assert judged("canaries-contained", story().whole(1)).verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    "over",
    [
        {"headers": (("authorization", "Bearer canary-caller-alice"),)},
        {"headers": (("x-api-key", "canary-provider-rh"),)},
        {"headers": (("authorization", "Bearer canary-provider-kling"),)},
        {"headers": (("x-debug", "canary-admin"),)},
        {"path": "/v2/canary-provider-rh"},
        {"query": "key=canary-provider-rh"},
        {"body": b'{"apiKey":"canary-provider-rh"}'},
    ],
)
def test_a_key_in_the_wrong_request_is_a_breach(story: Tell, judged: Judge, over: dict[str, Any]) -> None:
    """Another's key, or the right key in the wrong place."""
    told = bend(story().whole(1), Received, **over)
    finding = judged("canaries-contained", told)
    assert finding.verdict is Verdict.BROKEN
    assert isinstance(finding.evidence[0], Received)


@pytest.mark.parametrize(
    "over",
    [{"body": b'{"url":"http://x?key=canary-provider-rh"}'}, {"headers": (("x-key", "canary-billing"),)}],
)
def test_a_key_in_an_answer_is_a_breach(story: Tell, judged: Judge, over: dict[str, Any]) -> None:
    """In its body or in its headers."""
    assert judged("canaries-contained", bend(story().whole(1), Got, **over)).verdict is Verdict.BROKEN


def test_a_key_in_a_log_an_error_or_the_record_is_a_breach(story: Tell, judged: Judge) -> None:
    """Each place is looked at."""
    for fact in (
        GatewayLogged(t_us=1, at="gateway-0", event="x", text="Bearer canary-provider-rh"),
        AppFailed(t_us=1, at="gateway-0", error="KeyError: canary-admin"),
        Observed(t_us=1, at="gateway-0", what="calls", final=False, rows=({"reason": "canary-billing"},)),
    ):
        told = story().whole(1)
        told.add(fact)
        assert judged("canaries-contained", told).verdict is Verdict.BROKEN, fact


def test_what_a_caller_wrote_into_his_own_body_is_his(story: Tell, judged: Judge) -> None:
    """A prompt may hold anything; it is handed on as it is."""
    told = story()
    body = b'{"nonce":"n1","prompt":"canary-caller-alice"}'
    told.whole(1, body=body)
    assert judged("canaries-contained", told).verdict is Verdict.HOLDS


@pytest.mark.parametrize("text", ["http://rh.test/v2/video", "rh.test refused", "token=abc123", "/v2/video"])
def test_an_error_that_tells_of_the_upstream_is_a_breach(story: Tell, judged: Judge, text: str) -> None:
    """No address, no path, no query in the gateway's own words."""
    told = story()
    sent = told.sent(1, path="/api/proxy/rh/v2/video?token=abc123")
    told.refused(sent, "upstream_unreachable", 502)
    assert judged("canaries-contained", told).verdict is Verdict.HOLDS
    bend(told, Got, body=b'{"error":{"code":"upstream_unreachable","message":"%s"}}' % text.encode())
    assert judged("canaries-contained", told).verdict is Verdict.BROKEN


def test_an_escape_is_a_breach(story: Tell, judged: Judge) -> None:
    """A host that is not in the world was asked for."""
    told = story().whole(1)
    assert judged("egress-allow-listed", told).verdict is Verdict.HOLDS
    told.add(Escaped(t_us=1, at="gateway-0", host="evil.test"))
    assert judged("egress-allow-listed", told).verdict is Verdict.BROKEN


# Headers.


@pytest.mark.parametrize(
    "name",
    [
        "cookie",
        "x-thread-id",
        "x-idempotency-key",
        "x-forwarded-for",
        "te",
        "proxy-authorization",
        "x-api-key",
    ],
)
def test_a_header_that_nobody_listed_is_a_breach(story: Tell, judged: Judge, name: str) -> None:
    """A provider sees the declared list and nothing else."""
    told = story().whole(1)
    assert judged("headers-clean", told).verdict is Verdict.HOLDS
    bend(told, Received, headers=(("authorization", "Bearer canary-provider-rh"), (name, "1")))
    finding = judged("headers-clean", told)
    assert finding.verdict is Verdict.BROKEN
    assert name in finding.sentence


def test_a_declared_header_may_cross(story: Tell, judged: Judge) -> None:
    """Configuration adds to the lists, with globs."""
    told = story()
    provider = replace(
        told.declared.providers["rh"], request_headers=("x-extra-*",), answer_headers=("x-fal-*",)
    )
    told.declared = replace(told.declared, providers={"rh": provider})
    told.whole(1)
    bend(told, Received, headers=(("x-extra-one", "1"),))
    bend(told, Got, headers=(("x-fal-billable-units", "1"),))
    assert judged("headers-clean", told).verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((("set-cookie", "a=b"),), b"{}"),
        ((("keep-alive", "timeout=5"),), b"{}"),
        ((("connection", "keep-alive, x-hop"),), b"{}"),
        ((("upgrade", "h2c"),), b"{}"),
        ((("server", "nginx"),), b"{}"),
        ((("x-internal-host", "10.1.2.3"),), b"{}"),
        ((("content-length", "3"),), b"{}"),
        ((("content-length", "2"), ("transfer-encoding", "chunked")), b"{}"),
        ((("content-length", "2"), ("content-length", "20")), b"{}"),
        ((("content-encoding", "gzip"),), b"{}"),
        ((("content-encoding", "deflate"),), b"{}"),
        ((("content-type", "application/json"),), gzip.compress(b"{}", mtime=0)),
    ],
)
def test_answer_headers_that_are_not_true_or_not_ours_are_a_breach(
    story: Tell, judged: Judge, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    """Cookies, hop-by-hop names, lengths and encodings that lie."""
    told = bend(story().whole(1), Got, headers=headers, body=body)
    assert judged("headers-clean", told).verdict is Verdict.BROKEN


def test_a_true_encoding_is_no_breach(story: Tell, judged: Judge) -> None:
    """It says gzip, and it is."""
    body = gzip.compress(b"{}", mtime=0)
    headers = (("content-encoding", "gzip"), ("content-length", str(len(body))))
    told = bend(story().whole(1), Got, headers=headers, body=body)
    assert judged("headers-clean", told).verdict is Verdict.HOLDS


# Tenants.


def bob(told: Any, op: str = "poll", **over: Any) -> Any:
    """Bob asks about Alice's first task."""
    over.setdefault("task_id", "t1")
    headers = (("authorization", "Bearer canary-caller-bob"),)
    return told.sent(9, 1, op, account="bob", headers=headers, **over)


def test_a_stranger_is_told_nothing(story: Tell, judged: Judge) -> None:
    """404 for him, whatever there is for its owner."""
    told = story().whole(1)
    told.refused(bob(told), "task_not_found", 404)
    assert judged("tenants-apart", told).verdict is Verdict.HOLDS


def test_a_strangers_poll_that_is_answered_is_a_breach(story: Tell, judged: Judge) -> None:
    """He saw another account's task."""
    told = story().whole(1)
    told.got(bob(told), 200, b'{"status":"SUCCESS"}')
    finding = judged("tenants-apart", told)
    assert finding.verdict is Verdict.BROKEN
    assert "bob was answered 200 about task t1 of alice" in finding.sentence


def test_a_raw_request_for_a_strangers_task_is_a_poll_too(story: Tell, judged: Judge) -> None:
    """What a request asks for is told by its path and body, whatever the client called it."""
    told = story().whole(1)
    asked = {"task_id": None, "path": "/api/proxy/rh/v2/query", "body": b'{"taskId":"t1"}'}
    told.got(bob(told, "other", **asked), 200, b'{"status":"SUCCESS"}')
    assert judged("tenants-apart", told).verdict is Verdict.BROKEN


def test_asking_the_provider_for_a_stranger_is_a_breach(story: Tell, judged: Judge) -> None:
    """He is refused, and the provider was asked all the same, when nobody else was asking."""
    told = story()
    told.submit(1)
    told.row(1)
    sent = bob(told)
    told.received("poll", task_id="t1")
    told.refused(sent, "task_not_found", 404)
    finding = judged("tenants-apart", told)
    assert finding.verdict is Verdict.BROKEN
    assert "on behalf of bob" in finding.sentence


def test_the_owner_or_the_sweeper_may_have_asked(story: Tell, judged: Judge) -> None:
    """Beside the owner's own poll, or late enough for a sweep, a request proves nothing."""
    told = story()
    told.submit(1)
    own = told.sent(1, 2, "poll", task_id="t1")
    sent = bob(told)
    told.received("poll", task_id="t1")
    told.refused(sent, "task_not_found", 404)
    told.got(own, 200)
    assert judged("tenants-apart", told).verdict is Verdict.HOLDS
    late = story()
    late.submit(1)
    late.tick(60 * SECOND)
    sent = bob(late)
    late.received("poll", task_id="t1")
    late.refused(sent, "task_not_found", 404)
    assert judged("tenants-apart", late).verdict is Verdict.HOLDS


def test_a_callers_other_account_is_no_stranger(story: Tell, judged: Judge) -> None:
    """One caller, two accounts: both are his."""
    told = story().whole(1)
    told.got(told.sent(1, 5, "poll", task_id="t1", account="team"), 200, told.facts[-1].body)
    assert judged("tenants-apart", told).verdict is Verdict.HOLDS


@pytest.mark.parametrize(("code", "verdict"), [("account_forbidden", "holds"), (None, "broken")])
def test_a_caller_who_names_an_account_that_is_not_his_is_refused(
    story: Tell, judged: Judge, code: str | None, verdict: str
) -> None:
    """Whose account it is, is declared; that he names it is not enough."""
    told = story()
    headers = (("authorization", "Bearer canary-caller-bob"), ("x-thread-id", "alice"))
    sent = told.sent(9, account="bob", headers=headers)
    if code is None:
        told.got(sent, 200, b'{"taskId":"t9"}')
    else:
        told.refused(sent, code, 403)
    assert judged("tenants-apart", told).verdict.value == verdict


def test_an_answer_of_another_request_is_a_breach(story: Tell, judged: Judge) -> None:
    """The task id that came back is somebody else's."""
    told = story().whole(1)
    told.got(told.sent(2), 200, b'{"taskId":"t1"}')
    finding = judged("tenants-apart", told)
    assert finding.verdict is Verdict.BROKEN
    assert "n1's" in finding.sentence


def test_a_strangers_nonce_is_a_breach(story: Tell, judged: Judge) -> None:
    """Bob is shown what Alice sent."""
    told = story().whole(1)
    told.got(bob(told, "other", task_id=None, path="/api/proxy/rh/list"), 200, b'[{"nonce": "n1"}]')
    assert judged("tenants-apart", told).verdict is Verdict.BROKEN


def test_asking_about_no_task_is_a_breach(story: Tell, judged: Judge) -> None:
    """A made-up id went out under the gateway's key."""
    told = story().whole(1)
    told.received("poll", task_id="guess")
    assert judged("tenants-apart", told).verdict is Verdict.BROKEN


# Errors.


@pytest.mark.parametrize(
    ("code", "status"), [("insufficient_funds", 402), ("task_not_found", 404), ("draining", 503)]
)
def test_an_own_error_follows_the_table(story: Tell, judged: Judge, code: str, status: int) -> None:
    """Its status is the code's, and its body is the envelope."""
    told = story()
    told.refused(told.sent(1), code, status)
    assert judged("error-mapped", told).verdict is Verdict.HOLDS
    assert judged("error-mapped", bend(told, Got, status=status + 1)).verdict is Verdict.BROKEN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"{}",
        b'{"error":"draining"}',
        b'{"error":{"code":"other","message":"x"}}',
        b'{"error":{"code":"draining"}}',
    ],
)
def test_an_own_error_without_its_envelope_is_a_breach(story: Tell, judged: Judge, body: bytes) -> None:
    """The caller's program could not read it."""
    told = story()
    told.refused(told.sent(1), "draining", 503)
    assert judged("error-mapped", bend(told, Got, body=body)).verdict is Verdict.BROKEN


def test_a_code_that_is_in_no_table_is_a_breach(story: Tell, judged: Judge) -> None:
    """An internal error is nobody's answer."""
    told = story()
    told.refused(told.sent(1), "internal", 500)
    assert judged("error-mapped", told).verdict is Verdict.BROKEN


def test_in_flight_says_when_to_come_back(story: Tell, judged: Judge) -> None:
    """With a Retry-After, which is the one in its body."""
    for retry_after, verdict in (("1", Verdict.HOLDS), (None, Verdict.BROKEN), ("2", Verdict.BROKEN)):
        told = story()
        own = [("x-refgate-error", "in_flight")] + ([("retry-after", retry_after)] if retry_after else [])
        body = b'{"error":{"code":"in_flight","message":"wait","retry_after_s":1}}'
        told.refused(told.sent(1), "in_flight", 409, headers=tuple(own), body=body)
        assert judged("error-mapped", told).verdict is verdict


def test_a_bare_server_error_is_a_breach(story: Tell, judged: Judge) -> None:
    """500 that is neither the provider's nor the gateway's own."""
    told = story()
    told.got(told.sent(1), 500, b"Internal Server Error")
    assert judged("error-mapped", told).verdict is Verdict.BROKEN


def test_a_providers_error_is_handed_on(story: Tell, judged: Judge) -> None:
    """500 of the provider is the provider's."""
    told = story()
    sent = told.sent(1)
    told.answered(told.received(nonce="n1"), b"oops", status=500)
    told.got(sent, 500, b"oops")
    assert judged("error-mapped", told).verdict is Verdict.HOLDS


def test_an_exception_that_got_out_is_a_breach(story: Tell, judged: Judge) -> None:
    """Of the gateway; a fake's own is not judged here."""
    for at, verdict in (("gateway-0", Verdict.BROKEN), ("rh", Verdict.UNTESTED)):
        told = story()
        told.add(AppFailed(t_us=1, at=at, error="KeyError: x"))
        assert judged("error-mapped", told).verdict is verdict
