"""The registry of checks, the page made from it, and what must never sway a finding."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.journal import ActPlayed, Fact
from scenarios.checks import Check, Finding, Verdict, all_checks, judge, same_history
from scenarios.checks.page import THEMES, page
from scenarios.declared.gateway import Declared
from scenarios.history import GatewayLogged, History, LinkChanged, Observed, Restarted, Unapplied

ROOT = Path(__file__).parent.parent.parent
Tell = Callable[..., Any]


def test_every_check_says_what_it_promises() -> None:
    """A name in kebab case, a theme of the page, and a sentence or more."""
    for check in all_checks():
        assert check.name == check.name.lower()
        assert " " not in check.name
        assert check.theme in THEMES
        assert len(check.statement) > 40
        assert check.statement.endswith(".")


def test_names_are_unique() -> None:
    """A finding names its check, and a scenario may skip by name."""
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    [
        "finalize-at-most-once",
        "every-hold-ends",
        "cost-equals-tokens-times-price",
        "money-is-conserved",
        "failure-is-free",
        "success-is-charged",
        "charge-in-bounds",
        "budget-never-exceeded",
        "no-phantom-refusal",
        "one-effect-per-key",
        "same-answer-per-key",
        "tenants-apart",
        "canaries-contained",
        "headers-clean",
        "answers-in-time",
        "alive-afterwards",
        "resources-return",
        "error-mapped",
        "attempts-recorded",
        "deterministic",
        "egress-allow-listed",
        "stream-parity",
        "disconnect-policy-kept",
        "attempts-bounded",
        "cooldown-respected",
        "traffic-returns",
        "fallback-in-order",
        "rate-within-limit",
        "no-double-generation",
        "never-restarts",
        "no-truncated-success",
        "bytes-intact",
        "cancel-reaches-upstream",
        "alive-afterwards",
        "resources-return",
        "cache-honest",
        "config-is-live",
        "requests-logged",
    ],
)
def test_what_is_promised_is_judged(name: str) -> None:
    """Each promise of task billing and of chat has its check."""
    assert name in {check.name for check in all_checks()}


def test_the_page_is_made_from_the_code() -> None:
    """If this fails: python -m scenarios.checks.page > docs/invariants.md"""
    written = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
    assert written == page()
    for check in all_checks():
        assert f"`{check.name}`" in written


def test_a_check_that_fails_is_no_pass(story: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported as what it is, and the others are asked all the same."""

    def fails(history: History, declared: Declared) -> Finding:
        raise ZeroDivisionError("oops")

    checks = (Check("broken-itself", "money", "Never.", fails), *all_checks())
    monkeypatch.setattr("scenarios.checks.all_checks", lambda: checks)
    told = story().whole(1)
    found = judge(told.history(), told.declared)
    assert found[0].verdict is Verdict.ERROR
    assert "ZeroDivisionError: oops" in found[0].sentence
    assert len(found) == len(checks)


def test_a_check_can_be_left_out(story: Tell) -> None:
    """By its name."""
    told = story().whole(1)
    names = {one.check for one in judge(told.history(), told.declared, skip=("every-hold-ends",))}
    assert names == {check.name for check in all_checks()} - {"every-hold-ends"}


def test_breaches_are_counted_and_the_first_are_shown(story: Tell) -> None:
    """Thirty charges without work: thirty are counted, twenty are kept, each with its proof."""
    told = story()
    for number in range(1, 31):
        told.reserve(number, nanos=1)
        told.row(number, task_id=None)
        told.finalize(number, 1)
    finding = next(one for one in judge(told.history(), told.declared) if one.check == "failure-is-free")
    assert finding.broken == 30
    assert len(finding.breaches) == 20
    assert "(and 29 more)" in finding.sentence
    assert all(breach.facts for breach in finding.breaches)
    narrowed = [fact for fact in finding.evidence if isinstance(fact, Observed) and fact.what == "calls"]
    assert [len(fact.rows) for fact in narrowed] == [1]


def test_two_runs_are_compared_line_by_line() -> None:
    """Equal, different, one longer, nothing at all."""
    assert same_history(["a", "b"], ["a", "b"]).verdict is Verdict.HOLDS
    parted = same_history(["a", "b"], ["a", "c"])
    assert parted.verdict is Verdict.BROKEN
    assert "line 2" in parted.sentence
    assert same_history(["a"], ["a", "b"]).verdict is Verdict.BROKEN
    assert same_history([], []).verdict is Verdict.UNTESTED
    assert parted.check == "deterministic"


def irrelevant(t_us: int) -> list[Fact]:
    """Facts that no promise speaks of: a note, an act, a link between others, a reading on the way."""
    return [
        GatewayLogged(t_us=t_us, at="gateway-0", event="swept", text="nothing"),
        ActPlayed(t_us=t_us, at="rh", seq=1, act="latency"),
        LinkChanged(t_us=t_us, at="x", src="gateway-0", dst="rh", what="trickle"),
        Observed(t_us=t_us, at="gateway-0", what="intents", final=False, rows=()),
        Restarted(t_us=t_us, at="gateway-0", incarnation=2),
        Unapplied(t_us=t_us, at="world", fault="crash"),
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5)), max_size=12), breaks=st.booleans())
def test_irrelevant_facts_change_no_finding(story: Tell, places: list[tuple[int, int]], breaks: bool) -> None:
    """Whatever else is in the history, the same is found."""
    told = story(billing="remote").whole(1, key="k1").whole(2).whole(3, account="bob")
    if breaks:
        told.finalize(1, 1, again=":again")
        told.received(nonce="n1")
    before = _found(told)
    for place, which in places:
        index = place % (len(told.facts) + 1)
        told.facts.insert(index, irrelevant(told.facts[index - 1].t_us)[which])
    assert _found(told) == before


def _found(told: Any) -> list[tuple[str, Verdict, int, int]]:
    findings = judge(told.history(), told.declared)
    return [(one.check, one.verdict, one.judged, one.broken) for one in findings]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**16))
def test_independent_calls_may_interleave_in_any_way(story: Tell, seed: int) -> None:
    """The order in which calls of different clients mingle is nothing to accuse anybody of."""
    draw = random.Random(seed)
    told = story(billing="remote")
    streams = []
    for number in range(1, 5):
        one = story(billing="remote").whole(number, key=f"k{number}")
        streams.append([_numbered(fact, 100 * number) for fact in one.facts])
        told.calls += one.calls
        told.attempts += [{**row, "attempt_id": f"{number}/{row['attempt_id']}"} for row in one.attempts]
        told.now_us = max(told.now_us, one.now_us)
    while streams:
        stream = draw.choice(streams)
        told.facts.append(stream.pop(0))
        streams = [left for left in streams if left]
    for finding in judge(told.history(), told.declared):
        assert finding.verdict in (Verdict.HOLDS, Verdict.UNTESTED), finding


def _numbered(fact: Fact, offset: int) -> Fact:
    """A provider counts the requests of all its clients: each call keeps its own numbers."""
    return replace(fact, seq=fact.seq + offset) if hasattr(fact, "seq") else fact
