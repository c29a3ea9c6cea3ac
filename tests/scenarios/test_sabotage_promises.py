"""Every promise can be broken: for each invariant there is a safeguard without which it is called broken."""

from __future__ import annotations

from functools import cache
from inspect import signature

import pytest

from scenarios.checks import Verdict, all_checks
from scenarios.load import Loaded
from scenarios.model.scenario import ChatProviderPart
from scenarios.reference import Reference
from scenarios.run import play
from scenarios.sabotage.hunt import hunt
from scenarios.sabotage.registry import all_sabotages
from scenarios.sabotage.swap import Sabotage, Swap, applied
from scenarios.select import chosen
from scenarios.sweep import compare
from tests.scenarios.promises_broken import BROKEN, sabotage
from tests.scenarios.promises_broken_chats import BROKEN_FOR_CHATS

_OF_TWO_RUNS = "deterministic"
_SEEDS = 2


@cache
def suite() -> tuple[Loaded, ...]:
    return tuple(chosen([], None))


@pytest.mark.parametrize("promise", [promise for promise in BROKEN if promise != _OF_TWO_RUNS])
def test_without_its_safeguard_the_promise_is_called_broken(promise: str) -> None:
    """By the check of that name, in the suite, and never for the honest gateway."""
    found = hunt(sabotage(promise), suite(), seeds=_SEEDS)
    assert found.catch is not None, f"survived {found.runs} runs, noticed only by {found.others}"
    assert (found.catch.check, found.catch.accused) == (promise, ())


@pytest.mark.parametrize("promise", BROKEN_FOR_CHATS)
def test_what_tasks_and_chats_share_can_be_broken_for_chats(promise: str) -> None:
    """In the scenarios that have models: the part of a check that looks at chats judges something, too."""
    files = [one for one in suite() if any(map(_is_of_models, one.scenario.providers.values()))]
    swap = BROKEN_FOR_CHATS[promise]
    found = hunt(Sabotage("-", promise, f"{promise} is not kept", swap, (promise,)), files, seeds=_SEEDS)
    assert found.catch is not None, f"survived {found.runs} runs, noticed only by {found.others}"
    assert (found.catch.check, found.catch.accused) == (promise, ())


@pytest.mark.parametrize("swap", [*BROKEN.values(), *BROKEN_FOR_CHATS.values()], ids=lambda one: one.name)
def test_what_stands_in_takes_what_the_honest_one_takes(swap: Swap) -> None:
    """The same parameters, so that the promise breaks for what was taken out and not for its form."""
    if callable(swap.was):
        assert callable(swap.becomes)
        assert list(signature(swap.becomes).parameters) == list(signature(swap.was).parameters)
    else:
        assert isinstance(swap.was, str) and isinstance(swap.becomes, str)
        assert swap.becomes.count("?") == swap.was.count("?")


def _is_of_models(provider: object) -> bool:
    return isinstance(provider, ChatProviderPart)


def test_two_runs_of_a_gateway_that_counts_for_itself_are_told_apart() -> None:
    """What it counts outside the world differs from run to run; the honest gateway's runs do not."""
    scenario = next(one.scenario for one in suite() if one.name == "first/embedded")
    with applied(sabotage(_OF_TWO_RUNS)):
        runs = [play(scenario, 0, gateway=Reference()) for _ in range(2)]
    honest = [play(scenario, 0, gateway=Reference()) for _ in range(2)]
    assert compare(*runs).verdict is Verdict.BROKEN
    assert compare(*honest).verdict is Verdict.HOLDS


def test_every_check_has_something_that_breaks_its_promise() -> None:
    """Here or among the sabotages of the hazards; a check that nothing can break judges nothing."""
    witnesses = {name for one in all_sabotages() for name in one.witnesses}
    assert witnesses | set(BROKEN) == {check.name for check in all_checks()}
    assert len(BROKEN) == len({swap.becomes for swap in BROKEN.values()})
