"""Every act on an answer: what the client sees on the wire, and what the journal says."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.acts.answers import Loss
from fakes.acts.play import Category
from fakes.acts.vocabulary import ProviderDo
from fakes.journal import Answered, Received, TaskAccepted, TaskEnded, TaskRejected
from fakes.wire import Answer, ProtocolBroken, ReadFailed, ReadTimeout, WireError
from tests.fakes.stage import Stage, document, with_provider

SUBMIT = "/openapi/v2/model/text-to-video"
QUERY = "/openapi/v2/query"


@dataclass
class Seen:
    """What came of one submit."""

    stage: Stage
    answer: Answer | None
    error: WireError | None

    @property
    def answered(self) -> Answered:
        return self.stage.facts(Answered)[0]

    @property
    def accepted(self) -> bool:
        return bool(self.stage.facts(TaskAccepted))


def submit(do: dict[str, Any], *, dialect: str = "runninghub", path: str = SUBMIT, **act: Any) -> Seen:
    """One submit met by one act; the client waits a minute."""

    async def main(stage: Stage) -> Seen:
        try:
            answer = await stage.call("POST", path, {"nonce": "n", "prompt": "p"}, timeout_us=60_000_000)
        except WireError as error:
            return Seen(stage, None, error)
        return Seen(stage, answer, None)

    return with_provider(main, dialect, acts=[{"do": do, **act}])


def test_an_error_is_shaped_by_the_provider_and_nothing_is_done() -> None:
    """The status is the act's, the body the vendor's."""
    seen = submit({"error": {"status": 500, "message": "boom", "retry_after": "3s"}})
    assert seen.answer is not None
    assert (seen.answer.status, seen.answer.header("retry-after")) == (500, "3")
    assert document(seen.answer)["errorCode"] == "1000"
    assert document(seen.answer)["errorMessage"] == "boom"
    assert not seen.accepted
    assert [fact.reason for fact in seen.stage.facts(TaskRejected)] == ["error"]
    assert seen.stage.played() == [("error", True)]


@pytest.mark.parametrize(
    ("form", "name", "value"),
    [
        ("seconds", "retry-after", "3"),
        ("fraction", "retry-after", "2.500"),
        ("date", "retry-after", "Mon, 05 Jan 2026 00:00:03 GMT"),
        ("ms", "retry-after-ms", "2500"),
        ("none", "retry-after", None),
    ],
)
def test_a_rate_limit_says_when_to_return_in_every_wild_form(form: str, name: str, value: str | None) -> None:
    """Seconds are rounded up, never down; a date is in the wall time of the simulation."""
    seen = submit({"rate_limited": {"retry_after": "2500ms", "form": form}})
    assert seen.answer is not None
    assert (seen.answer.status, seen.answer.header(name)) == (429, value)
    assert not seen.accepted


def test_too_many_parallel_tasks_is_another_refusal_than_too_many_requests() -> None:
    """RunningHub tells of a full queue under HTTP 200."""
    seen = submit({"rate_limited": {"why": "parallel"}})
    assert seen.answer is not None
    assert (seen.answer.status, document(seen.answer)["errorCode"]) == (200, "421")


def test_a_quota_lets_so_many_through_in_each_window() -> None:
    """Two a minute: the third is refused, and the next minute starts anew."""

    async def main(stage: Stage) -> list[int]:
        statuses = []
        for at in (0, 1, 2, 60, 61, 62):
            await stage.until(at)
            statuses.append((await stage.call("POST", SUBMIT, {"nonce": f"n{at}"})).status)
        return statuses

    statuses = with_provider(main, acts=[{"do": {"quota": {"limit": 2, "per": "1m"}}}])
    assert statuses == [200, 200, 429, 200, 200, 429]


def test_a_concurrency_limit_counts_tasks_at_work() -> None:
    """With one task running a second is refused; when it has ended the third is taken."""

    async def main(stage: Stage) -> list[str]:
        codes = []
        for at in (0, 1, 20):
            await stage.until(at)
            answer = await stage.call("POST", SUBMIT, {"nonce": f"n{at}"})
            codes.append(document(answer)["errorCode"])
        return codes

    assert with_provider(main, acts=[{"do": {"concurrency": {"limit": 1}}}]) == ["", "421", ""]


def test_a_business_rejection_keeps_the_vendors_manners() -> None:
    """HTTP 200, an error code and no task id."""
    seen = submit({"rejected": {"reason": "real_person"}})
    assert seen.answer is not None and seen.answer.status == 200
    assert document(seen.answer)["taskId"] == ""
    assert document(seen.answer)["errorCode"] == "1505"
    assert [fact.reason for fact in seen.stage.facts(TaskRejected)] == ["real_person"]


def test_a_service_that_is_not_ready_answers_503() -> None:
    """While the window lasts; after it the work is done."""

    async def main(stage: Stage) -> list[int]:
        first = await stage.call("POST", SUBMIT, {"nonce": "a"})
        await stage.until(5)
        return [first.status, (await stage.call("POST", SUBMIT, {"nonce": "b"})).status]

    assert with_provider(main, acts=[{"until": "5s", "do": {"not_ready": {}}}]) == [503, 200]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text", b"upstream connect error or disconnect/reset before headers"),
        ("invalid_json", b'{"status":"RUNN'),
        ("empty", b""),
        ("list", b"[]"),
        ("string", b'"ok"'),
        ("null", b"null"),
        ("number", b"1"),
        ("empty_object", b"{}"),
    ],
)
def test_an_odd_body_comes_as_it_is(kind: str, body: bytes) -> None:
    """No object where one is expected: the bytes are whole, nothing was done."""
    seen = submit({"odd_body": {"kind": kind}})
    assert seen.answer is not None
    assert (seen.answer.status, seen.answer.body, seen.accepted) == (200, body, False)
    assert seen.answered.complete


def test_an_html_page_under_a_gateway_status() -> None:
    """What a load balancer in front of the provider says."""
    seen = submit({"odd_body": {"kind": "html", "status": 502}})
    assert seen.answer is not None
    assert (seen.answer.status, seen.answer.header("content-type")) == (502, "text/html")
    assert seen.answer.body.startswith(b"<html>")


def test_a_provider_that_never_answers_waits_until_the_client_leaves() -> None:
    """The client's own time-out ends it; nothing was written and nothing was done."""
    seen = submit({"never_answers": {}})
    assert isinstance(seen.error, ReadTimeout)
    assert not seen.accepted
    assert (seen.answered.status, seen.answered.ended_by, seen.answered.t_us) == (None, "client", 60_000_000)


@pytest.mark.parametrize(
    ("act", "error", "ended_by"),
    [
        ("drop", ProtocolBroken, "server"),
        ("reset", ReadFailed, "reset"),
        ("garbage", ProtocolBroken, "server"),
    ],
)
def test_a_connection_broken_before_any_byte(act: str, error: type[WireError], ended_by: str) -> None:
    """The client gets no answer, the journal shows none, and nothing was done."""
    seen = submit({act: {}})
    assert isinstance(seen.error, error)
    assert (seen.answered.status, seen.answered.body_bytes, seen.answered.ended_by) == (None, 0, ended_by)
    assert not seen.accepted
    assert seen.stage.played() == [(act, True)]


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("reset", None, ReadFailed),
        ("close", None, ProtocolBroken),
        ("never_answers", None, ReadTimeout),
        ("error", 524, None),
        ("html", 200, None),
        ("invalid_json", 200, None),
        ("empty", 200, None),
    ],
)
def test_work_accepted_and_billed_whose_answer_is_lost(
    how: Loss, status: int | None, error: type[WireError] | None
) -> None:
    """Whatever the client saw, the task runs and its end is billed."""

    async def main(stage: Stage) -> None:
        if error is None:
            answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
            assert answer.status == status
            assert b"taskId" not in answer.body
        else:
            with pytest.raises(error):
                await stage.call("POST", SUBMIT, {"nonce": "n"}, timeout_us=1_000_000)
        assert [fact.nonce for fact in stage.facts(TaskAccepted)] == ["n"]
        stage.provider.settle(20_000_000)
        assert [fact.cost_nanos for fact in stage.facts(TaskEnded)] == [250_000_000]
        assert stage.facts(TaskRejected) == []

    with_provider(main, acts=[{"do": {"accepted_and_lost": {"how": how, "status": 524}}}])


@pytest.mark.parametrize(
    ("cut", "at"), [({"after_bytes": 10}, 10), ({"fraction": "0.5"}, None), ({"after_bytes": 10_000}, None)]
)
@pytest.mark.parametrize(("how", "error"), [("close", ProtocolBroken), ("reset", ReadFailed)])
def test_an_answer_cut_in_its_body(
    cut: dict[str, Any], at: int | None, how: str, error: type[WireError]
) -> None:
    """The bytes before the cut were flushed, the journal counts them, and the work was done."""

    async def main(stage: Stage) -> None:
        got = b""
        with pytest.raises(error):
            async with stage.client.stream(
                "POST", f"http://p.test{SUBMIT}", headers=stage.headers, body=b'{"nonce":"n"}'
            ) as answer:
                length = int(dict(answer.headers)["content-length"])
                async for chunk in answer.chunks():
                    got += chunk
        await stage.until(1)
        [fact] = stage.facts(Answered)
        wanted = at if at is not None else length // 2 if "fraction" in cut else length - 1
        assert (len(got), fact.body_bytes) == (wanted, wanted)
        assert (fact.status, fact.complete, fact.body_digest) == (200, False, None)
        assert fact.ended_by == ("reset" if how == "reset" else "server")
        assert len(stage.facts(TaskAccepted)) == 1

    with_provider(main, acts=[{"do": {"cut": {**cut, "how": how}}}])


def test_latency_delays_the_answer_and_not_the_work() -> None:
    """The task begins at once; a client who leaves early changes nothing about that."""

    async def main(stage: Stage) -> None:
        await stage.call("POST", SUBMIT, {"nonce": "a"})
        assert stage.now_us == 5_000_000
        with pytest.raises(ReadTimeout):
            await stage.call("POST", SUBMIT, {"nonce": "b"}, timeout_us=1_000_000)
        await stage.until(20)
        assert [fact.t_us for fact in stage.facts(TaskAccepted)] == [0, 5_000_000]
        assert [fact.ended_by for fact in stage.facts(Answered)] == ["server", "client"]

    with_provider(main, acts=[{"do": {"latency": {"by": "5s"}}}])


def test_latency_of_the_work_starts_it_late_even_if_the_client_left() -> None:
    """A request that was read is worked on, although nobody waits any more."""

    async def main(stage: Stage) -> None:
        with pytest.raises(ReadTimeout):
            await stage.call("POST", SUBMIT, {"nonce": "a"}, timeout_us=1_000_000)
        await stage.until(20)
        assert [fact.t_us for fact in stage.facts(TaskAccepted)] == [5_000_000]
        assert [fact.ended_by for fact in stage.facts(Answered)] == ["client"]

    with_provider(main, acts=[{"do": {"latency": {"by": "5s", "when": "work"}}}])


def test_latency_grows_over_its_window_and_jitters_within_bounds() -> None:
    """`ramp_to` is reached at the end of the window; jitter is drawn for each request."""

    async def main(stage: Stage) -> list[int]:
        took = []
        for at in (0, 50, 90):
            await stage.until(at)
            before = stage.now_us
            await stage.call("POST", QUERY, {"taskId": "t"})
            took.append(stage.now_us - before)
        return took

    ramp = {"latency": {"by": "0s", "ramp_to": "1s"}}
    assert with_provider(main, acts=[{"until": "100s", "do": ramp}]) == [0, 500_000, 900_000]
    jittered = with_provider(main, acts=[{"do": {"latency": {"by": "1s", "jitter": "1s"}}}])
    assert all(1_000_000 <= took < 2_000_000 for took in jittered)
    assert len(set(jittered)) == 3


def test_answer_headers_are_set_and_removed_whatever_the_body_says() -> None:
    """Several acts on headers compose, in file order."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert answer.header("connection") == "x-inner"
        assert answer.header("x-inner") == "1"
        assert answer.header("content-type") is None
        assert [value for name, value in answer.headers if name == "content-encoding"] == ["br"]
        assert document(answer)["status"] == "RUNNING"

    first = {"answer_headers": {"set": {"Connection": "x-inner", "x-inner": "1", "Content-Encoding": "gzip"}}}
    second = {"answer_headers": {"set": {"Content-Encoding": "br"}, "remove": ["content-type"]}}
    with_provider(main, acts=[{"do": first}, {"do": second}])


def test_a_length_that_is_too_great_ends_in_a_broken_answer() -> None:
    """A server that promises more than it has can only hang up."""
    seen = submit({"answer_headers": {"set": {"content-length": "5000"}}})
    assert isinstance(seen.error, ProtocolBroken)
    assert not seen.answered.complete
    assert seen.accepted


def test_a_length_that_is_too_small_cuts_the_document() -> None:
    """The client stops reading where it was told to: half a document that looks whole."""
    seen = submit({"answer_headers": {"set": {"content-length": "20"}}})
    assert seen.answer is not None
    assert len(seen.answer.body) == 20
    assert (seen.answered.body_bytes, seen.answered.complete) == (20, False)


def test_a_cookie_holds_the_nonce_of_its_request() -> None:
    """So that a cookie replayed to another caller shows whose it was."""
    seen = submit({"set_cookie": {"name": "sid"}})
    assert seen.answer is not None
    assert seen.answer.header("set-cookie") == "sid=n; Path=/"


def test_a_compressed_body_is_really_compressed() -> None:
    """The length is that of the compressed bytes."""
    seen = submit({"compressed": {"encoding": "gzip"}})
    assert seen.answer is not None
    assert seen.answer.header("content-encoding") == "gzip"
    assert seen.answer.header("content-length") == str(len(seen.answer.body))
    assert json.loads(gzip.decompress(seen.answer.body))["status"] == "RUNNING"


def test_a_bloated_body_is_true_and_too_large() -> None:
    """Padded with spaces: the document is the same."""
    seen = submit({"bloated": {"bytes": 100_000}})
    assert seen.answer is not None
    assert len(seen.answer.body) == 100_000
    assert document(seen.answer)["status"] == "RUNNING"


def test_acts_meet_polls_as_well() -> None:
    """A storm on polls leaves submits alone."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["taskId"]
        statuses = [(await stage.call("POST", QUERY, {"taskId": task_id})).status for _ in range(3)]
        assert statuses == [429, 429, 200]
        assert stage.facts(TaskRejected) == []
        assert [fact.task_id for fact in stage.facts(Received)][1:] == [task_id] * 3

    with_provider(main, acts=[{"match": {"op": "poll"}, "count": 2, "do": {"rate_limited": {}}}])


async def plainly(stage: Stage, body: bytes) -> list[dict[str, Any]]:
    """One submit to the application as a server without the extension calls it."""
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": "POST",
        "path": SUBMIT,
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer canary-provider-p")],
    }
    await stage.provider.app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    "do",
    [
        {"drop": {}},
        {"reset": {}},
        {"garbage": {}},
        {"cut": {"after_bytes": 1}},
        {"accepted_and_lost": {"how": "reset"}},
        {"answer_headers": {"set": {"content-length": "7"}}},
    ],
    ids=lambda do: next(iter(do)),
)
def test_an_act_that_a_server_cannot_play_is_noted_and_left_out(do: dict[str, Any]) -> None:
    """Without the extension the request is served as if the act were not there."""

    async def main(stage: Stage) -> None:
        sent = await plainly(stage, b'{"nonce":"n"}')
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert json.loads(sent[1]["body"])["status"] == "RUNNING"
        assert stage.played() == [(next(iter(do)), False)]
        assert len(stage.facts(TaskAccepted)) == 1

    with_provider(main, acts=[{"do": do}])


def test_every_act_on_answers_is_tried_here() -> None:
    """A new act without a test of what it looks like on the wire is not done."""
    text = Path(__file__).read_text()
    on_answers = [
        name
        for name, field in ProviderDo.model_fields.items()
        if _play(field).category in (Category.ANSWER, Category.DELAY, Category.HEADERS)
    ]
    assert [name for name in on_answers if f'"{name}"' not in text] == []


def _play(field: Any) -> Any:
    return next(kind for kind in field.annotation.__args__ if kind is not type(None))
