"""The built-in suite is whole: every file loads; each hazard, wire, act and link fault is somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from fakes.acts.vocabulary import BillingDo, ProviderDo
from fakes.chat import Prices
from refgate.config.settings import Settings
from scenarios import gateways
from scenarios.clients.task_wording import WORDINGS
from scenarios.load import Loaded, find, load, load_text
from scenarios.model.chat import USUAL_MODELS
from scenarios.model.scenario import (
    ChatProviderPart,
    Crash,
    LinkDo,
    ProviderPart,
    Stop,
    StoreFault,
    TaskTraffic,
)

SUITE = Path(gateways.FOLDER).parent
FILES = find([SUITE])
CITATION = re.compile(r"\b[\w.-]+/[\w.-]+#\d+\b")

INCIDENTS = CITATION.findall("""
BerriAI/litellm#37050 BerriAI/litellm#39980 BerriAI/litellm#35569 Augustas11/macprovider#762
getlago/lago-api#3618 getlago/lago-api#2243 getlago/lago-api#5870 akash-network/console#3449
Vexa-ai/vexa#330 openmeterio/openmeter#1408
Comfy-Org/ComfyUI#16204 BerriAI/litellm#7221 HKUDS/nanobot#2760 livekit/agents#5335 caura-ai/caura#859
mpfaffenberger/code_puppy#317 ohdearquant/lionagi#2393 Portkey-AI/portkey-python-sdk#300
gocardless/gocardless-pro-python#12
openmeterio/openmeter#5118 formancehq/wallets#109 formancehq/wallets#110 tashfeenahmed/freellmapi#1094
Augustas11/macprovider#200 x402-foundation/x402#808 KeeperHub/keeperhub#1877 getlago/lago-agent-toolkit#65
BerriAI/litellm#38157 BerriAI/litellm#34805 BerriAI/litellm#35531 BerriAI/litellm#33872 BerriAI/litellm#34820
BerriAI/litellm#34887 BerriAI/litellm#32221 BerriAI/litellm#37105 maximhq/bifrost#2873
QuantumNous/new-api#6911 QuantumNous/new-api#7401 QuantumNous/new-api#4429
QuantumNous/new-api#2050 QuantumNous/new-api#4211
QuantumNous/new-api#6074 QuantumNous/new-api#2025 elizaOS/eliza#11920 decocms/studio#5761
screenpipe/screenpipe#5747
BerriAI/litellm#10011 scaleapi/llm-engine#874 QuantumNous/new-api#6754 nexu-io/open-design#6044
higress-group/higress#1080 higress-group/higress#3683 BerriAI/litellm#30630 BerriAI/litellm#15740
tashfeenahmed/freellmapi#845 theopenco/llmgateway#3331 theopenco/llmgateway#3443 BerriAI/litellm#33736
BerriAI/litellm#36008 BerriAI/litellm#37219 BerriAI/litellm#41344 golang/vulndb#6242 maximhq/bifrost#2844
BerriAI/litellm#27639 BerriAI/litellm#10037 BerriAI/litellm#27001 wso2/api-platform#2932 PostHog/posthog#45116
ryokun6/ryos#1858 BerriAI/litellm#34416 Portkey-AI/gateway#165 mlflow/mlflow#25268 tombii/better-ccflare#236
diegosouzapw/OmniRoute#13836 envoyproxy/ai-gateway#2391 maximhq/bifrost#7034 dativo-io/talon#394
Mirrowel/LLM-API-Key-Proxy#39 byte5ai/omadia#122
""")


P = TypeVar("P", ProviderPart, ChatProviderPart)
CHAT = """{about: chat, gateway: {config: chat.yaml}, providers: {
  east: {wire: openai}, west: {wire: openai}, rome: {wire: anthropic}, tokyo: {wire: gemini}}}"""


def named(path: Path) -> str:
    return str(path.relative_to(SUITE).with_suffix(""))


@pytest.fixture(scope="module")
def suite() -> list[Loaded]:
    return [load(path, name=named(path)) for path in FILES]


def test_suite_is_large_enough() -> None:
    """At least 36 files, each in the folder of its theme."""
    assert len(FILES) >= 36
    assert all(path.parent.parent == SUITE for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_file_loads_and_its_gateway_starts(path: Path) -> None:
    """A file of the suite is valid, and so is the gateway configuration it asks for."""
    scenario = load(path).scenario
    config = gateways.with_probe(gateways.gateway_config(scenario))
    settings = Settings.parse(config, environ=gateways.environ(config), source=str(path))
    enabled = {name for name, provider in settings.providers.items() if provider.enabled}
    dialects = {name: backend.dialect for name, backend in settings.backends.items()}
    assert set(scenario.providers) == enabled | set(dialects)
    for name, dialect in dialects.items():
        assert scenario.providers[name].wire == dialect
    assert (scenario.billing is not None) == (config["billing"]["kind"] == "remote")


def test_every_file_says_what_must_surely_happen(suite: list[Loaded]) -> None:
    """No green is empty: each file expects money, answers, counts or marks of what it is named after."""
    for loaded in suite:
        expect = loaded.scenario.expect
        assert expect.charged is not None or expect.counts or expect.reached, loaded.name


def test_every_act_of_a_file_is_expected_to_play(suite: list[Loaded]) -> None:
    """What a script says is no decoration: each act's name is in `reached` or `counts` of its file."""
    silent = {
        loaded.name: missing
        for loaded in suite
        if (missing := _acts(loaded) - {*loaded.scenario.expect.reached, *loaded.scenario.expect.counts})
    }
    assert silent == {}


def _acts(loaded: Loaded) -> set[str]:
    scenario = loaded.scenario
    billed = scenario.billing.acts if scenario.billing else ()
    provided = {act.do.name for part in scenario.providers.values() for act in part.acts}
    return provided | {act.do.name for act in billed}


def test_every_hazard_has_a_file(suite: list[Loaded]) -> None:
    """A1 to A21, B1 to B16 and C1 to C11 are each named by a file at least."""
    hazards = {hazard for loaded in suite for hazard in loaded.scenario.hazards}
    for letter, last in (("A", 21), ("B", 16), ("C", 11)):
        assert {f"{letter}{number}" for number in range(1, last + 1)} <= hazards


def _parts(suite: list[Loaded], kind: type[P]) -> list[P]:
    """The providers of tasks, or those of models, of all files."""
    parts = (part for one in suite for part in one.scenario.providers.values())
    return [part for part in parts if isinstance(part, kind)]


def test_models_cost_what_their_vendors_bill() -> None:
    """The prices of the suite's gateway are those that its providers usually have."""
    priced = gateways.gateway_config(load_text(CHAT))["prices"]
    usual = {name: model.prices for models in USUAL_MODELS.values() for name, model in models.items()}
    assert {name: Prices.model_validate(price) for name, price in priced.items()} == usual


def test_every_wire_and_both_billings_are_spoken(suite: list[Loaded]) -> None:
    """Each provider dialect and each kind of billing, alone and with several replicas."""
    assert {part.wire for part in _parts(suite, ProviderPart)} == set(WORDINGS)
    assert {part.wire for part in _parts(suite, ChatProviderPart)} == {"openai", "anthropic", "gemini"}
    kinds = {(one.scenario.billing is not None, one.scenario.gateway.replicas > 1) for one in suite}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}
    assert max(loaded.scenario.gateway.replicas for loaded in suite) >= 3


def test_every_act_is_in_some_script(suite: list[Loaded]) -> None:
    """The whole vocabulary of misbehaviour is used, the providers' and billing's."""
    provided = {act.do.name for part in _parts(suite, ProviderPart) for act in part.acts}
    billed = {act.do.name for one in suite if one.scenario.billing for act in one.scenario.billing.acts}
    assert provided == set(ProviderDo.model_fields)
    assert billed == set(BillingDo.model_fields)


def test_every_fault_of_links_and_timeline_is_used(suite: list[Loaded]) -> None:
    """Each link fault and each place of a blackhole, each store error, each kind of crash and a stop."""
    links = [link.do for one in suite for link in one.scenario.links if link.do is not None]
    assert {link.chosen for link in links} == set(LinkDo.model_fields)
    assert {link.blackhole.phase for link in links if link.blackhole} == {"connect", "request", "answer"}
    faults = [fault for one in suite for fault in one.scenario.faults]
    assert {fault.store.error for fault in faults if isinstance(fault, StoreFault)} == {
        "locked",
        "full",
        "io",
    }
    crashes = [fault for fault in faults if isinstance(fault, Crash)]
    places = set(map(_place, crashes))
    assert places == {"time", "await", "commit before", "commit after"}
    assert any(isinstance(fault, Stop) for fault in faults)


def _place(crash: Crash) -> str:
    if crash.at_await is not None:
        return "await"
    return "time" if crash.at_commit is None else f"commit {crash.side}"


def test_every_policy_is_declared_both_ways(suite: list[Loaded]) -> None:
    """Each choice of each declared policy is taken by some file, and both ways to meet a key in flight."""
    seen: dict[str, set[str]] = {}
    for loaded in suite:
        config = gateways.gateway_config(loaded.scenario)
        for name, choice in _choices(config):
            seen.setdefault(name, set()).add(choice)
    assert seen["billing_unreachable"] >= {"fail_open"}
    assert seen["missing_usage"] >= {"hold", "zero", "estimate"}
    assert seen["usage_above_hold"] >= {"charge_actual", "cap_at_hold"}
    assert seen["task_without_verdict"] >= {"keep_reconciling", "release"}
    assert seen["in_flight"] >= {"conflict", "attach"}
    assert seen["resolve"] == {"none", "resend", "find"}
    assert seen["ambiguous"] >= {"never_retry", "always_retry"}
    assert seen["all_open"] >= {"refuse"}
    assert seen["client_leaves"] >= {"abort"}


def _choices(config: dict[str, object]) -> Iterator[tuple[str, str]]:
    for value in config.values():
        if not isinstance(value, dict):
            continue
        for name, choice in value.items():
            if isinstance(choice, str):
                yield name, choice
        yield from _choices(value)


def test_every_incident_that_applies_is_cited(suite: list[Loaded]) -> None:
    """Public reports of double, lost and wrong bills each have a file whose `about` cites them."""
    cited = {found for loaded in suite for found in CITATION.findall(loaded.scenario.about)}
    assert set(INCIDENTS) - cited == set()


def test_every_about_says_what_a_user_would_have_seen(suite: list[Loaded]) -> None:
    """The first line is a plain sentence's beginning, not a citation or a name."""
    for loaded in suite:
        first = loaded.scenario.about.splitlines()[0]
        assert len(first.split()) >= 8 and not CITATION.search(first), loaded.name


def test_key_settings_have_effect(suite: list[Loaded]) -> None:
    """Where a file retries on 409, its requests carry a key: without one there is nothing to meet."""
    for loaded in suite:
        for block in loaded.scenario.traffic:
            if isinstance(block, TaskTraffic) and block.retry and 409 in block.retry.on:
                assert block.key != "none", loaded.name
