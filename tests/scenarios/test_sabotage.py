"""The checks bite: each hazard, brought back, is called broken by a check that is named for it."""

from __future__ import annotations

import inspect
from functools import cache

import pytest

from scenarios.checks import all_checks
from scenarios.load import Loaded
from scenarios.sabotage.hunt import hunt
from scenarios.sabotage.registry import HAZARDS, all_sabotages, named
from scenarios.sabotage.session import SEEDS
from scenarios.sabotage.swap import Sabotage, Swap, applied
from scenarios.select import chosen

each = pytest.mark.parametrize("sabotage", all_sabotages(), ids=lambda one: one.name)


@cache
def suite() -> tuple[Loaded, ...]:
    return tuple(chosen([], None))


@each
def test_it_is_caught_and_the_honest_gateway_is_not_accused(sabotage: Sabotage) -> None:
    """A check that judges its very promise says broken, and on the same scenario and seed nobody
    accuses the honest gateway."""
    found = hunt(sabotage, suite(), seeds=SEEDS)
    assert found.catch is not None, f"survived {found.runs} runs, noticed only by {found.others}"
    assert found.catch.check in sabotage.witnesses
    assert found.catch.accused == ()
    assert found.caught


@each
def test_it_is_done_for_the_length_of_a_block(sabotage: Sabotage) -> None:
    """Inside, the replacement is there; afterwards the very thing that was there before."""
    swap = sabotage.swap
    name = swap.name
    with applied(sabotage):
        assert vars(swap.place)[name] is swap.becomes
    assert vars(swap.place)[name] is swap.was


@each
def test_it_is_undone_though_the_run_fails(sabotage: Sabotage) -> None:
    """Whatever ends the block."""
    with pytest.raises(ZeroDivisionError), applied(sabotage):
        raise ZeroDivisionError
    assert vars(sabotage.swap.place)[sabotage.swap.name] is sabotage.swap.was


@each
def test_it_takes_what_the_honest_one_takes(sabotage: Sabotage) -> None:
    """The same parameters, so that it fails for its hazard and not for its form."""
    was, becomes = sabotage.swap.was, sabotage.swap.becomes
    assert callable(was) and callable(becomes)
    assert shape(becomes) == shape(was)
    assert inspect.iscoroutinefunction(becomes) is inspect.iscoroutinefunction(was)


def shape(of: object) -> list[tuple[str, object, object]]:
    assert callable(of)
    return [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]


@each
def test_its_witnesses_are_checks(sabotage: Sabotage) -> None:
    """Promises of the gateway; that a run was sound, or met its expectations, is none of them."""
    assert sabotage.witnesses
    assert set(sabotage.witnesses) <= {check.name for check in all_checks()}


def test_every_hazard_has_a_sabotage() -> None:
    """A1 to A21, B1 to B16 and C1 to C11, each at least once, in this order, and no other."""
    assert tuple(dict.fromkeys(one.hazard for one in all_sabotages())) == HAZARDS
    assert (len(HAZARDS), HAZARDS[20], HAZARDS[36], HAZARDS[-1]) == (48, "A21", "B16", "C11")


def test_every_hazard_has_a_scenario() -> None:
    """So that each has scenarios to be looked for in first."""
    named_by_files = {hazard for file in suite() for hazard in file.scenario.hazards}
    assert set(HAZARDS) <= named_by_files


def test_no_two_sabotages_are_the_same() -> None:
    """Each has a name of its own, says on one line what was changed, and changes something else."""
    every = all_sabotages()
    assert len({one.name for one in every}) == len(every)
    assert len({one.swap.becomes for one in every if one.face != "anybodys-result"}) == len(every) - 1
    assert all("\n" not in one.summary and len(one.summary) <= 110 for one in every)
    assert all(named(one.name) == one for one in every)


def test_a_safeguard_that_moved_is_missed_aloud() -> None:
    """A place that no longer holds what is to be replaced is an error, not a sabotage without effect."""

    def gone() -> None:
        """Nothing of the gateway's."""

    moved = Sabotage("A1", "moved", "nothing", Swap(Swap, gone, gone), ("one-effect-per-key",))
    with pytest.raises(LookupError, match="under 0 names"), applied(moved):
        pass


def test_a_sabotage_is_not_done_twice_at_once() -> None:
    """The second finds nothing to replace."""
    one = named("A2/any-body")
    with applied(one), pytest.raises(LookupError), applied(one):
        pass
    with applied(one):
        pass
