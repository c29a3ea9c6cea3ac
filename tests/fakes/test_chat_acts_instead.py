"""Acts in place of the work on a chat, and acts that lose its answer: on the wire and in the journal."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import ChatEnded
from fakes.wire import ProtocolBroken, ReadFailed, ReadTimeout
from tests.fakes.chat_asks import PATH, ask, words
from tests.fakes.chat_stage import ChatStage, chat_body, with_chat

# --- instead of the work --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "headers", "says"),
    [
        ("own", {"retry-after": "3", "retry-after-ms": "2500"}, True),
        ("seconds", {"retry-after": "3"}, False),
        ("fraction", {"retry-after": "2.500"}, False),
        ("date", {"retry-after": "Mon, 05 Jan 2026 00:00:03 GMT"}, False),
        ("ms", {"retry-after-ms": "2500"}, False),
        ("body", {}, True),
        ("none", {}, False),
    ],
)
def test_a_rate_limit_says_how_long_in_every_form(form: str, headers: dict[str, str], says: bool) -> None:
    """The vendor's own headers, each wild form alone, in the words only, or not at all."""
    heard, stage = ask({"rate_limited": {"retry_after": "2500ms", "form": form}})
    error = heard.json["error"]
    assert (heard.status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert {name: value for name, value in heard.headers if name.startswith("retry")} == headers
    assert ("Please try again in 2.5s." in error["message"]) is says
    assert (stage.refused.reason, stage.played()) == ("rate_limited", [("rate_limited", True)])


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("tokens", "rate_limit_exceeded"),
        ("parallel", "rate_limit_exceeded"),
        ("money", "insufficient_quota"),
        ("spend_limit", "organization_spend_limit_exceeded"),
    ],
)
def test_not_every_429_is_a_rate_limit(why: str, code: str) -> None:
    """Money says no wait; the server's word on retrying stands where the act says so."""
    heard, _ = ask({"rate_limited": {"why": why, "retry_after": "5s", "should_retry": False}})
    assert (heard.status, heard.json["error"]["code"]) == (429, code)
    assert (heard.header("retry-after") is None) is (why in ("money", "spend_limit"))
    assert heard.header("x-should-retry") == "false"


def test_a_storm_passes() -> None:
    """Fail the first three, in a window of time, then answer."""

    async def main(stage: ChatStage) -> list[int]:
        return [(await stage.call(PATH, chat_body())).status for _ in range(5)]

    assert with_chat(main, acts=[{"count": 3, "do": {"rate_limited": {}}}]) == [429, 429, 429, 200, 200]


@pytest.mark.parametrize(
    ("do", "status", "kind"),
    [
        ({"error": {"status": 500}}, 500, "server_error"),
        ({"error": {"status": 503}}, 503, "service_unavailable_error"),
        ({"error": {"status": 529}}, 529, "service_unavailable_error"),
        ({"not_ready": {"retry_after": "5s"}}, 503, "service_unavailable_error"),
        ({"rejected": {"reason": "bad_key"}}, 401, "invalid_request_error"),
        ({"rejected": {"reason": "too_long"}}, 400, "invalid_request_error"),
        ({"rejected": {"reason": "sensitive_input"}}, 400, "invalid_request_error"),
        ({"rejected": {"reason": "insufficient_balance"}}, 429, "insufficient_quota"),
        ({"rejected": {"reason": "region"}}, 403, "request_forbidden"),
        ({"quota": {"limit": 0}}, 429, "requests"),
        ({"concurrency": {"limit": 0}}, 429, "requests"),
        ({"error_in_200": {"error": "overloaded"}}, 200, "service_unavailable_error"),
    ],
)
def test_a_refusal_has_the_vendor_s_shape_and_costs_nothing(do: Any, status: int, kind: str) -> None:
    """A status, or HTTP 200 with an error in it; also where a stream was asked for."""
    heard, stage = ask(do)
    assert (heard.status, heard.json["error"]["type"]) == (status, kind)
    assert heard.header("content-type") == "application/json"
    assert stage.refused.nonce == "abc" and not stage.facts(ChatEnded)


def test_an_html_page_in_place_of_an_answer() -> None:
    """HTTP 200 and a page, as a proxy gives it."""
    heard, _ = ask({"odd_body": {"kind": "html"}})
    assert (heard.status, heard.header("content-type")) == (200, "text/html")
    assert heard.text.startswith("<html>")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("drop", ProtocolBroken),
        ("reset", ReadFailed),
        ("garbage", ProtocolBroken),
        ("never_answers", ReadTimeout),
    ],
)
def test_a_connection_that_breaks_before_a_byte(act: str, error: type[Exception]) -> None:
    """Nothing was done and nothing is billed."""
    heard, stage = ask({act: {}}, timeout_us=60_000_000)
    assert isinstance(heard.error, error)
    assert stage.refused.reason == act and stage.provider.running == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("how", "status"), [("reset", 0), ("error", 504), ("html", 200), ("empty", 200)])
def test_accepted_billed_and_lost(how: str, status: int, stream: bool) -> None:
    """It takes as long as the answer would have, and costs what it would have cost."""
    heard, stage = ask({"accepted_and_lost": {"how": how}}, stream=stream)
    assert heard.status == status and words(heard) == []
    assert heard.ended_us == 140_000 == stage.ended.t_us
    ended = stage.ended
    assert (ended.output_text, ended.billed, ended.delivered, ended.complete) == (5, True, 0, False)
    assert ended.cost_nanos == 10 * 1_000 + 5 * 4_000


def test_work_whose_answer_never_comes_ends_when_it_is_done() -> None:
    """Not when the client gives up."""
    heard, stage = ask({"accepted_and_lost": {"how": "never_answers"}}, timeout_us=60_000_000)
    assert isinstance(heard.error, ReadTimeout)
    assert (stage.ended.t_us, stage.ended.cost_nanos, stage.provider.running) == (140_000, 30_000, 0)
