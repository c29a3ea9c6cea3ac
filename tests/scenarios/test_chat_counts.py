"""What files may count and expect of chats, and the parts of a file that speak of models."""

from typing import Any

import pytest
from pydantic import ValidationError

from fakes.journal import Journal
from scenarios import gateways
from scenarios.counts import count
from scenarios.expect import expectations
from scenarios.history import History, Observed
from scenarios.load import load, load_text
from scenarios.mistakes import BadScenario
from scenarios.model.scenario import ChatProviderPart, ChatTraffic, Expect, Scenario, to_yaml
from scenarios.select import SUITE
from tests.scenarios.chat_toy import chats, played

ASK = "send: chat, account: alice, model: small"


def test_what_clients_heard_is_counted() -> None:
    """By how it ended, how it was asked for, and which error it was; probes apart."""
    run = played(
        f"{{{ASK}, times: 2, stream: half, pause: 3s}}",
        f"{{{ASK}, via: openai, leaves_after: 20ms}}",
        f"{{{ASK}, protocol: openai_embeddings, at: 30s}}",
        f"{{{ASK}, via: anthropic, protocol: anthropic, at: 30s, sdk_retries: 0}}",
        acts=["{from: 20s, until: 40s, match: {op: chat}, do: {error: {status: 503}}}"],
    )
    counted = count(run.history)
    assert {name: counted[name] for name in ("chat_ok", "chat_left", "chat_error", "chat_lost")} == {
        "chat_ok": 3,
        "chat_left": 1,
        "chat_error": 1,
        "chat_lost": 0,
    }
    assert (counted["streams"], counted["embeddings"], counted["by_openai"], counted["by_anthropic"]) == (
        1,
        1,
        1,
        1,
    )
    assert counted["error_ServiceUnavailableError"] == counted["status_503"] == counted["error"] == 1
    assert counted["left"] == 1 and counted["sent"] == 5 and counted["probe_ok"] == 2


def test_what_is_sent_again_is_counted() -> None:
    """Whether a client does so by itself or an SDK does."""
    act = "{count: 1, per: identity, do: {rate_limited: {retry_after: 1s, form: seconds}}}"
    run = played(f"{{{ASK}, retry: {{}}}}", f"{{{ASK}, via: openai}}", acts=[act])
    counted = count(run.history)
    assert (counted["retried"], counted["chat_ok"], counted["chat_refused"]) == (2, 2, 2)
    assert counted["chat_accepted"] == 2


def test_served_is_what_was_heard_to_its_end() -> None:
    """A stream that breaks is not served, though its status was 200."""
    run = played(
        f"{{{ASK}, stream: always, times: 4}}",
        acts=["{skip: 1, count: 1, do: {truncated: {after_words: 2}}}"],
    )
    (held,) = expectations(Expect(served=">= 75%"), run.history)
    assert held.holds and held.seen == "3 of 4 calls ended ok"
    assert count(run.history)["chat_lost"] == 1


def told(**tables: list[dict[str, Any]]) -> History:
    journal = Journal()
    for what, rows in tables.items():
        journal.record(Observed(t_us=0, at="gateway-0", what=what, final=True, rows=tuple(rows)))
    return History(journal)


def test_the_gateways_last_word_is_counted() -> None:
    """Outcomes, flags, where usage came from; attempts, lanes, faults; who served instead of whom."""

    def call(name: str, backend: str | None, **more: Any) -> dict[str, Any]:
        return {
            "call_id": name,
            "account": "alice",
            "outcome": "served",
            "backend": backend,
            "flags": [],
        } | more

    def attempt(name: str, number: int, backend: str, **more: Any) -> dict[str, Any]:
        return {"call_id": name, "number": number, "backend": backend, "lane": "pool", "status": 200} | more

    limited = {"status": 429, "failure": "rate_limited"}
    counted = count(
        told(
            chats=[
                call("a", "west", usage_source="reported"),
                call("b", "east", flags=["left"], reason="left"),
                call("c", None, outcome="failed"),
                call("p", "west", account="probe"),
            ],
            chat_attempts=[
                attempt("a", 2, "west"),
                attempt("a", 1, "east", **limited),
                attempt("b", 1, "east", lane="emergency"),
                attempt("c", 1, "east", status=None, failure="unreachable"),
                attempt("p", 1, "east", **limited),
            ],
        )
    )
    assert counted == {
        "ended_served": 2,
        "ended_failed": 1,
        "usage_reported": 1,
        "flag_left": 1,
        "reason_left": 1,
        "failover": 1,
        "attempts": 4,
        "emergency": 1,
        "upstream_200": 2,
        "upstream_429": 1,
        "fault_rate_limited": 1,
        "fault_unreachable": 1,
        "cooldown": 1,
    }


# --- files -------------------------------------------------------------------------------------------


def test_a_scenario_of_chats_comes_back_from_its_yaml() -> None:
    """Plans and acts of models as well."""
    scenario = chats(
        f"{{{ASK}, via: openai, stream: half, leaves_after_tokens: 3, body: {{n: 2}}}}",
        acts=["{match: {op: chat, model: 'gpt*', stream: true}, do: {stall: {after_words: 2, for: 3s}}}"],
    )
    assert load_text(to_yaml(scenario)) == scenario


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"via": "openai", "protocol": "anthropic"}, "the openai SDK speaks"),
        ({"via": "anthropic"}, "the anthropic SDK speaks anthropic"),
        ({"via": "openai", "retry": {}}, "retries by itself"),
        ({"protocol": "openai_embeddings", "stream": "always"}, "not streamed"),
        ({"leaves_after_tokens": 3}, "needs a stream"),
    ],
)
def test_what_makes_no_sense_is_refused(block: dict[str, Any], says: str) -> None:
    """In words that say what to write instead."""
    with pytest.raises(ValidationError, match=says):
        ChatTraffic.model_validate({"send": "chat", "account": "a", "model": "m", **block})


def test_tasks_are_not_sent_to_models() -> None:
    """Nor is a mistake in a plan of models told as one of tasks."""
    head = "about: x\ngateway: {config: chat.yaml}\nproviders:\n  east: {wire: openai"
    with pytest.raises(BadScenario, match="east is not one of the providers of tasks"):
        load_text(head + "}\ntraffic: [{send: task, provider: east, account: alice}]\n")
    with pytest.raises(BadScenario, match=r"plan\.wurds: no such field \(did you mean words\?\)"):
        load_text(head + ", plan: {wurds: 3}}\n")


def test_an_sdk_that_is_missing_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install, and where the file asks for it."""
    monkeypatch.setattr("scenarios.load.find_spec", lambda name: None)
    with pytest.raises(
        BadScenario, match=r"traffic\.0\.via: the openai SDK is not installed.*refgate\[sdks\]"
    ):
        chats(f"{{{ASK}, via: openai}}")


def test_a_plan_without_models_has_its_vendors() -> None:
    """One that names models has those alone."""
    assert set(ChatProviderPart(wire="gemini").played.models) == {"gemini-2.5-flash"}
    own = ChatProviderPart.model_validate({"wire": "gemini", "plan": {"models": {"x": {}}}})
    assert set(own.played.models) == {"x"}


def test_keys_of_backends_are_canaries_of_their_providers() -> None:
    """So that a leak is seen, and says whose key it was."""
    config = gateways.gateway_config(load(SUITE / "chat" / "smallest-life.yaml").scenario)
    assert gateways.environ(config)["ROME_KEY"] == "canary-provider-rome"
    assert list(gateways.models(config)) == ["small", "smart", "embed"]
    assert gateways.models({}) == {}


def test_a_scenario_knows_its_own_wires() -> None:
    """The wire says which kind of provider it is."""
    with pytest.raises(ValidationError, match="'openai', 'anthropic', 'gemini'"):
        Scenario.model_validate(
            {"about": "x", "gateway": {"config": "c"}, "providers": {"e": {"wire": "smoke"}}}
        )
