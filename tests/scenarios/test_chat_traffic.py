"""Clients of models: what they send, how they listen, retry and leave, and what they hear in the end."""

import json

import pytest

from scenarios.history import Ended, Got, Heard, History, Left, Sent
from tests.scenarios.chat_toy import ChatToy, played

ASK = "send: chat, account: alice, model: small"
WAYS = [
    ("plain", "openai_chat"),
    ("plain", "openai_responses"),
    ("plain", "anthropic"),
    ("plain", "gemini"),
    ("openai", "openai_chat"),
    ("openai", "openai_responses"),
    ("anthropic", "anthropic"),
]
SDKS = [way for way in WAYS if way[0] != "plain"]
FINISH = {"openai_chat": "stop", "openai_responses": "completed", "anthropic": "end_turn", "gemini": "STOP"}


def heard(history: History) -> list[Heard]:
    assert history.of(Ended)[0].trouble is None
    return [one for one in history.of(Heard) if not one.at.startswith("probe")]


def facts(history: History, kind: type) -> list:
    return [one for one in history.of(kind) if not one.at.startswith("probe")]


def one(*acts: str, way: tuple[str, str] = ("plain", "openai_chat"), more: str = "", **toy: bool) -> Heard:
    via, protocol = way
    run = played(f"{{{ASK}, via: {via}, protocol: {protocol}{more}}}", acts=acts, toy=ChatToy(**toy))
    (fact,) = heard(run.history)
    return fact


@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_hears_the_same_words(way, stream):
    """Whole or streamed, by a plain client or by an SDK: the words, their end, and what they cost."""
    fact = one(way=way, more=f", stream: {stream}")
    assert (fact.outcome, fact.error, fact.status, fact.complete) == ("ok", None, 200, True)
    assert fact.text.startswith("[nonce:n00001 by ") and "naïve" in fact.text
    assert (fact.finish, fact.named) == (FINISH[way[1]], "small")
    assert fact.tokens >= 6 if stream == "always" else fact.tokens == 1
    assert fact.call_id and fact.call_id.startswith("call_")
    assert fact.first_us is not None and (fact.t_us - fact.first_us >= 50_000) == (stream == "always")


@pytest.mark.parametrize("via", ["plain", "openai"])
def test_embeddings_are_heard(via):
    """They have no words; what they cost is there."""
    fact = one(way=(via, "openai_embeddings"))
    assert (fact.outcome, fact.text, fact.tokens) == ("ok", "", 1)
    assert json.loads(fact.usage)["prompt_tokens"] > 0


@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("way", WAYS)
def test_tool_calls_are_heard_whole(way, stream):
    """The name, and arguments that are the JSON the model made."""
    fact = one("{do: {completes: {calls: 2}}}", way=way, more=f", stream: {stream}, tools: true")
    assert fact.outcome == "ok"
    assert [name for name, _ in fact.calls] == ["look_up", "look_up"]
    assert all(json.loads(arguments)["nonce"] == "n00001" for _, arguments in fact.calls)


@pytest.mark.parametrize("way", WAYS)
def test_usage_is_heard_as_it_was_shown(way):
    """The last one of a stream, with every figure as it came."""
    body = ", body: {stream_options: {include_usage: true}}" if way[1] == "openai_chat" else ""
    fact = one(way=way, more=f", stream: always{body}")
    figures = json.loads(fact.usage)
    assert (
        figures.get("output_tokens", figures.get("completion_tokens", figures.get("candidatesTokenCount")))
        == 6
    )


@pytest.mark.parametrize("way", WAYS)
def test_an_image_goes_along(way):
    """And costs what an image costs."""
    plain, shown = (json.loads(one(way=way, more=more).usage) for more in ("", ", image: true"))
    name = {"gemini": "promptTokenCount", "openai_chat": "prompt_tokens"}.get(way[1], "input_tokens")
    assert shown[name] - plain[name] == 85


@pytest.mark.parametrize("way", WAYS)
def test_a_status_is_an_error(way):
    """By the SDK's class, or by the code in the body."""
    fact = one("{do: {error: {status: 400}}}", way=way, more=", stream: always")
    assert (fact.outcome, fact.status, fact.complete, fact.text) == ("error", 400, False, "")
    assert fact.error is not None and (fact.error == "BadRequestError") == (way[0] != "plain")


@pytest.mark.parametrize("way", WAYS)
def test_an_error_within_the_stream_is_an_error(way):
    """The words before it stay heard."""
    fact = one("{do: {stream_error: {after_words: 2}}}", way=way, more=", stream: always, sdk_retries: 0")
    assert (fact.outcome, fact.complete) == ("error", False), fact
    assert 1 <= fact.tokens < 6


@pytest.mark.parametrize("act", ["truncated", "cut_stream"])
@pytest.mark.parametrize("way", WAYS)
def test_half_a_stream_is_lost(way, act):
    """However cleanly it stops: nobody said that it was the end."""
    fact = one(f"{{do: {{{act}: {{after_words: 2}}}}}}", way=way, more=", stream: always, sdk_retries: 0")
    assert (fact.outcome, fact.complete) == ("lost", False), fact
    assert fact.text and fact.tokens < 6


@pytest.mark.parametrize("way", WAYS)
def test_a_client_leaves_after_so_many_tokens(way):
    """It has heard those, and its exchange is written down as left."""
    via, protocol = way
    run = played(f"{{{ASK}, via: {via}, protocol: {protocol}, stream: always, leaves_after_tokens: 3}}")
    (fact,) = heard(run.history)
    assert (fact.outcome, fact.tokens, fact.complete) == ("left", 3, False)
    assert fact.call_id is not None
    assert len(facts(run.history, Left)) == 1 and not facts(run.history, Got)


@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("way", WAYS)
def test_a_client_leaves_after_a_time(way, stream):
    """At that very time, whatever it is waiting for."""
    via, protocol = way
    run = played(f"{{{ASK}, via: {via}, protocol: {protocol}, stream: {stream}, leaves_after: 60ms}}")
    (fact,) = heard(run.history)
    (sent,) = facts(run.history, Sent)
    assert (fact.outcome, fact.t_us - sent.t_us, fact.error) == ("left", 60_000, None)
    assert len(facts(run.history, Left)) == 1


def test_a_plain_client_retries_as_told():
    """Every request is an attempt of the same call, under one nonce; it is heard once."""
    act = "{count: 2, do: {rate_limited: {retry_after: 3s}}}"
    run = played(f"{{{ASK}, retry: {{attempts: 3, on: [429], wait: 1s}}}}", acts=[act])
    (fact,) = heard(run.history)
    assert (fact.outcome, fact.attempt) == ("ok", 3)
    sent = facts(run.history, Sent)
    assert [(one.call, one.attempt, one.nonce) for one in sent] == [(1, n, "n00001") for n in (1, 2, 3)]
    assert sent[1].t_us - sent[0].t_us >= 3_000_000


@pytest.mark.parametrize("way", SDKS)
def test_an_sdk_retries_by_itself(way):
    """As often as it is allowed to, each time on the record; and names its error by its class."""
    via, protocol = way
    block = f"{{{ASK}, via: {via}, protocol: {protocol}, sdk_retries: 1}}"
    run = played(block, acts=["{do: {rate_limited: {retry_after: 2s, form: seconds}}}"])
    (fact,) = heard(run.history)
    assert (fact.outcome, fact.error, fact.status, fact.attempt) == ("error", "RateLimitError", 429, 2)
    assert [got.status for got in facts(run.history, Got)] == [429, 429]
    sent = facts(run.history, Sent)
    assert 2_000_000 <= sent[1].t_us - sent[0].t_us < 3_000_000


@pytest.mark.parametrize("way", SDKS)
def test_the_history_does_not_depend_on_the_machine(way):
    """What an SDK would tell of it is pinned; its key is the caller's."""
    via, protocol = way
    run = played(f"{{{ASK}, via: {via}, protocol: {protocol}}}")
    (sent,) = facts(run.history, Sent)
    headers = dict(sent.headers)
    assert headers["x-stainless-runtime-version"] == "3.11" and headers["x-stainless-os"] == "Linux"
    assert "canary-caller-alice" in headers.get("authorization", headers.get("x-api-key", ""))


def test_a_dead_line_is_lost():
    """In the wire's word, or the SDK's."""
    acts = ["{do: {reset: {}}}"]
    assert one(*acts).outcome == "error"  # the toy says so
    assert one("{do: {never_answers: {}}}", more=", timeout: 2s").error == "ReadTimeout"
    never = one(
        "{do: {never_answers: {}}}", way=("openai", "openai_chat"), more=", timeout: 2s, sdk_retries: 1"
    )
    assert (never.outcome, never.error, never.attempt) == ("lost", "APITimeoutError", 2)


def test_half_of_the_calls_are_streamed():
    """Every other one, whichever client makes it."""
    run = played(f"{{{ASK}, clients: 2, times: 3, stream: half}}")
    assert sum(fact.stream for fact in heard(run.history)) == 3


def test_the_same_question_is_the_same_body():
    """Under one nonce, so that a cache may know it again."""
    run = played(f"{{{ASK}, clients: 3, same: true}}", f"{{{ASK}}}")
    bodies = [sent.body for sent in facts(run.history, Sent)]
    assert len(set(bodies[:3])) == 1 and bodies[3] not in bodies[:3]
    assert {sent.nonce for sent in facts(run.history, Sent)[:3]} == {"same-small"}


def test_fields_of_a_stream_stay_out_of_other_requests():
    """What the block adds is there, where it may stand."""
    body = "{temperature: 0, stream_options: {include_usage: true}}"
    run = played(f"{{{ASK}, times: 2, stream: half, max_tokens: 7, body: {body}}}")
    whole, stream = (json.loads(sent.body) for sent in facts(run.history, Sent))
    assert "stream_options" not in whole and stream["stream_options"] == {"include_usage": True}
    assert whole["temperature"] == 0 and whole["max_completion_tokens"] == 7


def test_models_are_probed_after_the_calm():
    """Each by one plain call in its own protocol, again until it is served."""
    run = played(f"{{{ASK}}}", acts=["{from: 0s, until: 1s, do: {error: {status: 500}}}"])
    probes = [one for one in run.history.of(Heard) if one.at.startswith("probe")]
    assert {(one.model, one.protocol, one.outcome) for one in probes} == {
        ("small", "openai_chat", "ok"),
        ("embed", "openai_embeddings", "ok"),
    }
    assert {sent.op for sent in run.history.of(Sent) if sent.at.startswith("probe")} == {"probe"}


def test_a_probe_gives_up():
    """A gateway that never serves again does not keep the run for ever."""
    run = played(f"{{{ASK}}}", toy=ChatToy(mute=True))
    probes = [one for one in run.history.of(Heard) if one.at.startswith("probe")]
    assert {(one.outcome, one.attempt) for one in probes} == {("error", 60)}
