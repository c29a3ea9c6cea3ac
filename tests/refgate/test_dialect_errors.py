"""Errors both ways: the vendor's SDK raises its own class, and a provider's error is known for what it is."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors

from refgate.answer import Answer
from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.error_bodies import error_answer, fault_of, status_of
from refgate.dialects.faults import classify, fault_in_body
from refgate.dialects.retry_hint import HINT_US_MAX, hint_us
from refgate.dialects.spoken import Began, Broke, Fault, FaultKind, Unmetered
from tests.refgate.dialect_kit import CALLERS, google, told

NOW_US = 1_795_000_000_000_000  # 2026-11-18T11:06:40Z
S = 1_000_000


def openai_raises(answer: Answer) -> openai.APIError:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body)

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    with openai.OpenAI(api_key="k", base_url="http://h/v1", http_client=http, max_retries=0) as client:
        with pytest.raises(openai.APIError) as raised:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        return raised.value


def anthropic_raises(answer: Answer) -> anthropic.APIError:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body)

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    with anthropic.Anthropic(api_key="k", base_url="http://h", http_client=http, max_retries=0) as client:
        with pytest.raises(anthropic.APIError) as raised:
            client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
        return raised.value


def google_raises(answer: Answer) -> errors.APIError:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body)

    with pytest.raises(errors.APIError) as raised:
        google(handler).models.generate_content(model="m", contents="x")
    return raised.value


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (FaultKind.BAD_REQUEST, 400, "INVALID_ARGUMENT"),
        (FaultKind.UNAUTHORIZED, 401, "UNAUTHENTICATED"),
        (FaultKind.FORBIDDEN, 403, "PERMISSION_DENIED"),
        (FaultKind.NOT_FOUND, 404, "NOT_FOUND"),
        (FaultKind.TOO_LARGE, 413, "INVALID_ARGUMENT"),
        (FaultKind.NO_MONEY, 402, "FAILED_PRECONDITION"),
        (FaultKind.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.SERVER, 500, "INTERNAL"),
        (FaultKind.BROKEN, 502, "INTERNAL"),
        (FaultKind.OVERLOADED, 503, "UNAVAILABLE"),
        (FaultKind.EXHAUSTED, 503, "UNAVAILABLE"),
        (FaultKind.TIMEOUT, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_googles_sdk_raises_by_the_code(kind: FaultKind, code: int, status: str) -> None:
    """Of its two classes the one for the caller's mistakes below 500, the other from there on."""
    raised = google_raises(error_answer(Protocol.GEMINI, Fault(kind, "told")))
    assert isinstance(raised, errors.ClientError if code < 500 else errors.ServerError)
    assert (raised.code, raised.status, raised.message) == (code, status, "told")


def test_gemini_is_told_in_the_body_how_long_to_wait_and_what_is_wrong() -> None:
    """A duration as protobuf writes it; the field; the reason where the status has no word for it."""

    def details(fault: Fault, param: str | None = None) -> list[dict[str, Any]]:
        error = json.loads(error_answer(Protocol.GEMINI, fault, param=param).body)["error"]
        return [one | {"@type": one["@type"].rpartition(".")[2]} for one in error.get("details", [])]

    for us, text in ((39 * S, "39s"), (500_000, "0.5s"), (1_000_001, "1.000001s"), (-5, "0s")):
        fault = Fault(FaultKind.RATE_LIMITED, "", retry_after_us=us)
        assert details(fault) == [{"@type": "RetryInfo", "retryDelay": text}]
    (info,) = details(Fault(FaultKind.CONTEXT_OVERFLOW, ""))
    assert (info["@type"], info["reason"]) == ("ErrorInfo", "context_length_exceeded")
    refused = fault_of(Untranslatable("cachedContent", "no word for it"))
    info, bad = details(refused, "cachedContent")
    assert (info["reason"], bad["@type"]) == ("unsupported_parameter", "BadRequest")
    assert bad["fieldViolations"][0]["field"] == "cachedContent"
    assert details(Fault(FaultKind.SERVER, "m")) == []


@pytest.mark.parametrize(
    ("kind", "of_openai", "of_anthropic"),
    [
        (FaultKind.BAD_REQUEST, openai.BadRequestError, anthropic.BadRequestError),
        (FaultKind.CONTEXT_OVERFLOW, openai.BadRequestError, anthropic.BadRequestError),
        (FaultKind.UNAUTHORIZED, openai.AuthenticationError, anthropic.AuthenticationError),
        (FaultKind.FORBIDDEN, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
        (FaultKind.NOT_FOUND, openai.NotFoundError, anthropic.NotFoundError),
        (FaultKind.CONFLICT, openai.ConflictError, anthropic.ConflictError),
        (FaultKind.TOO_LARGE, openai.APIStatusError, anthropic.ContentTooLargeError),
        (FaultKind.RATE_LIMITED, openai.RateLimitError, anthropic.RateLimitError),
        (FaultKind.NO_MONEY, openai.RateLimitError, anthropic.PaymentRequiredError),
        (FaultKind.SERVER, openai.InternalServerError, anthropic.InternalServerError),
        (FaultKind.BROKEN, openai.InternalServerError, anthropic.InternalServerError),
        (FaultKind.OVERLOADED, openai.InternalServerError, anthropic.OverloadedError),
        (FaultKind.EXHAUSTED, openai.InternalServerError, anthropic.ServiceUnavailableError),
        (FaultKind.TIMEOUT, openai.InternalServerError, anthropic.GatewayTimeoutError),
    ],
)
def test_each_sdk_raises_the_class_it_has_for_its_vendor(
    kind: FaultKind, of_openai: type[Exception], of_anthropic: type[Exception]
) -> None:
    """Status, body and headers are those of the caller's own protocol."""
    fault = Fault(kind, "told")
    first = openai_raises(error_answer(Protocol.OPENAI_CHAT, fault))
    second = anthropic_raises(error_answer(Protocol.ANTHROPIC, fault, request_id="req_1"))
    assert isinstance(first, of_openai)
    assert isinstance(second, of_anthropic)
    assert isinstance(first, openai.APIStatusError)
    assert first.body is not None
    assert "told" in str(first)
    assert "told" in str(second)


def test_every_failure_can_be_told_to_every_caller() -> None:
    """No kind is without a status and a body."""
    for protocol in (*CALLERS, Protocol.OPENAI_EMBEDDINGS):
        for kind in FaultKind:
            answer = error_answer(protocol, Fault(kind, ""))
            assert 400 <= answer.status == status_of(protocol, kind)
            assert json.loads(answer.body)["error"]["message"]


def test_exhaustion_says_when_to_come_back() -> None:
    """503, the code a fallback chain looks for, and the soonest recovery rounded up to a second."""
    fault = Fault(FaultKind.EXHAUSTED, "", retry_after_us=1_200_001)
    for protocol in CALLERS:
        answer = error_answer(protocol, fault)
        assert answer.status == 503
        assert dict(answer.headers)["retry-after"] == "2"
        assert b"AllPoolsExhausted" in answer.body


def test_what_waiting_cannot_mend_is_not_tried_again() -> None:
    """A 429 that is about money carries the header that stops the SDK."""
    answer = error_answer(Protocol.OPENAI_CHAT, Fault(FaultKind.NO_MONEY, ""))
    assert (answer.status, dict(answer.headers)["x-should-retry"]) == (429, "false")
    assert "x-should-retry" not in dict(
        error_answer(Protocol.OPENAI_CHAT, Fault(FaultKind.SERVER, "")).headers
    )


def test_a_refused_field_is_named() -> None:
    """The caller learns which field, and why; what is not its fault has another code."""
    body = json.loads(
        error_answer(
            Protocol.OPENAI_CHAT, fault_of(Untranslatable("top_k", "no word for it")), param="top_k"
        ).body
    )
    assert body["error"] == {
        "message": "top_k: no word for it",
        "type": "invalid_request_error",
        "param": "top_k",
        "code": "unsupported_parameter",
    }
    assert fault_of(Malformed("n", "must be a number")).code == "invalid_value"


def sdk_stream(protocol: Protocol, stream: bytes) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    if protocol is Protocol.GEMINI:
        for _ in google(handler).models.generate_content_stream(model="m", contents="x"):
            pass
        return
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    if protocol is Protocol.ANTHROPIC:
        with anthropic.Anthropic(api_key="k", base_url="http://h", http_client=http) as claude:
            for _ in claude.messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], stream=True
            ):
                pass
        return
    with openai.OpenAI(api_key="k", base_url="http://h/v1", http_client=http) as client:
        if protocol is Protocol.OPENAI_CHAT:
            for _ in client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "x"}], stream=True
            ):
                pass
        else:
            for _ in client.responses.create(model="m", input="x", stream=True):
                pass


@pytest.mark.parametrize("protocol", CALLERS)
def test_an_error_in_a_stream_raises_in_the_sdk(protocol: Protocol) -> None:
    """A stream that broke never looks like one that ended."""
    broke = Broke(Fault(FaultKind.OVERLOADED, "too much"), Unmetered())
    with pytest.raises((openai.APIError, anthropic.APIError, errors.APIError), match="too much"):
        sdk_stream(protocol, told(protocol, [Began("i", "m"), broke]))


def openai_error(message: str = "m", **of: Any) -> bytes:
    return json.dumps({"error": {"message": message, "param": None, **of}}).encode()


def anthropic_error(kind: str, message: str = "m", **of: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **of}}).encode()


def gemini_error(code: int, status: str, *details: Any, message: str = "m") -> bytes:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (429, openai_error(type="requests", code="rate_limit_exceeded"), FaultKind.RATE_LIMITED, True),
        (429, openai_error(type="rate_limit_error", code="slow_down"), FaultKind.RATE_LIMITED, True),
        (429, openai_error(type="insufficient_quota", code="insufficient_quota"), FaultKind.NO_MONEY, False),
        (429, openai_error(type="x", code="project_spend_limit_exceeded"), FaultKind.NO_MONEY, False),
        (400, openai_error(type="invalid_request_error"), FaultKind.BAD_REQUEST, False),
        (400, openai_error(code="context_length_exceeded"), FaultKind.CONTEXT_OVERFLOW, False),
        (400, openai_error(code="content_filter"), FaultKind.CONTENT_FILTER, False),
        (401, openai_error(code="invalid_api_key"), FaultKind.UNAUTHORIZED, False),
        (404, openai_error(code="model_not_found"), FaultKind.NOT_FOUND, False),
        (500, openai_error(type="server_error"), FaultKind.SERVER, True),
        (503, openai_error(code="server_is_overloaded"), FaultKind.OVERLOADED, True),
        (502, b"<html>bad gateway</html>", FaultKind.SERVER, True),
        (504, b"", FaultKind.TIMEOUT, True),
        (418, b"{}", FaultKind.BAD_REQUEST, False),
        (302, b"", FaultKind.BROKEN, True),
        (529, anthropic_error("overloaded_error"), FaultKind.OVERLOADED, True),
        (429, anthropic_error("rate_limit_error"), FaultKind.RATE_LIMITED, True),
        (
            429,
            anthropic_error("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            FaultKind.NO_MONEY,
            False,
        ),
        (
            400,
            anthropic_error("invalid_request_error", "Your credit balance is too low"),
            FaultKind.NO_MONEY,
            False,
        ),
        (
            400,
            anthropic_error("invalid_request_error", "prompt is too long: 9"),
            FaultKind.CONTEXT_OVERFLOW,
            False,
        ),
        (402, anthropic_error("billing_error"), FaultKind.NO_MONEY, False),
        (413, anthropic_error("request_too_large"), FaultKind.TOO_LARGE, False),
        (429, gemini_error(429, "RESOURCE_EXHAUSTED"), FaultKind.RATE_LIMITED, True),
        (503, gemini_error(503, "UNAVAILABLE"), FaultKind.OVERLOADED, True),
        (
            400,
            gemini_error(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
            FaultKind.UNAUTHORIZED,
            False,
        ),
        (400, b"[" + gemini_error(400, "INVALID_ARGUMENT") + b"]", FaultKind.BAD_REQUEST, False),
    ],
)
def test_a_providers_error_is_known_for_what_it_is(
    status: int, body: bytes, kind: FaultKind, retryable: bool
) -> None:
    """By its words where they say more than the status."""
    fault = classify(status, [], body, now_us=NOW_US)
    assert (fault.kind, fault.retryable, fault.status) == (kind, retryable, status)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (openai_error(type="server_error"), FaultKind.SERVER, 500),
        (openai_error(type="requests", code="rate_limit_exceeded"), FaultKind.RATE_LIMITED, 429),
        (b'{"error":"overloaded"}', FaultKind.SERVER, None),
        (anthropic_error("overloaded_error"), FaultKind.OVERLOADED, 529),
        (gemini_error(429, "RESOURCE_EXHAUSTED"), FaultKind.RATE_LIMITED, 429),
        (b'{"type":"error","code":"rate_limit_exceeded","message":"m"}', FaultKind.RATE_LIMITED, 429),
        (b"[1]", FaultKind.BROKEN, None),
        (b'"text"', FaultKind.BROKEN, None),
    ],
)
def test_an_error_inside_a_200_is_an_error(body: bytes, kind: FaultKind, status: int | None) -> None:
    """Its words are all there is."""
    fault = fault_in_body(json.loads(body))
    assert fault is not None
    assert (fault.kind, fault.status) == (kind, status)
    assert fault_in_body({"choices": [], "error": None}) is None


@pytest.mark.parametrize(
    ("headers", "body", "expected_us"),
    [
        ({"retry-after": "30"}, None, 30 * S),
        ({"Retry-After": "0.25"}, None, 250_000),
        ({"retry-after-ms": "20", "retry-after": "1"}, None, 20_000),
        ({"retry-after": "Wed, 18 Nov 2026 11:06:45 GMT"}, None, 5 * S),
        ({"retry-after": "Wed, 18 Nov 2026 09:00:00 GMT"}, None, 0),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "-5"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "inf"}, None, None),
        ({"retry-after": "1e308"}, None, None),
        ({"retry-after": "99999999999999999999"}, None, HINT_US_MAX),
        ({"retry-after": ""}, None, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, None, 360 * S),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0.5s"}, None, 60_500_000),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, None, 120_000),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-18T11:06:50Z",
            },
            None,
            10 * S,
        ),
        ({}, {"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "39s"}]}}, 39 * S),
        ({}, {"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "0.5s"}]}}, 500_000),
        ({}, {"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "x"}]}}, None),
        ({}, {"error": {"details": "nothing"}}, None),
        ({}, None, None),
    ],
)
def test_every_form_of_a_retry_hint_is_read(
    headers: dict[str, str], body: Any, expected_us: int | None
) -> None:
    """Seconds, fractions, dates, milliseconds, durations, timestamps, Gemini's body; nonsense is no hint."""
    assert hint_us(headers.items(), body, now_us=NOW_US) == expected_us
