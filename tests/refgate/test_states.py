"""The table of moves is closed: every state has a way to an end, and ends are final (A11)."""

from __future__ import annotations

import pytest

from refgate.ledger.states import MOVES, TERMINAL, State, before


def reachable(start: State) -> set[State]:
    seen = {start}
    todo = [start]
    while todo:
        for there in sorted(MOVES[todo.pop()] - seen):
            seen.add(there)
            todo.append(there)
    return seen


def test_every_state_is_reached_from_new() -> None:
    """No state is there for nothing."""
    assert reachable(State.NEW) == set(State)


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
def test_every_open_state_leads_to_an_end(state: State) -> None:
    """Nothing can be left lying by the table itself."""
    assert reachable(state) & TERMINAL


def test_no_way_leads_back() -> None:
    """No state can be met twice: what has ended cannot run again."""
    for state in State:
        assert all(state not in reachable(there) for there in MOVES[state])


def test_money_moves_by_one_door() -> None:
    """FINALIZED is reached from FINALIZING alone, where the intent is."""
    assert before(State.FINALIZED) == (State.FINALIZING,)


def test_an_unknown_submit_is_never_sent_again_as_a_new_one() -> None:
    """No move leads into SUBMITTING but from RESERVED, where the provider has heard nothing."""
    assert before(State.SUBMITTING) == (State.RESERVED,)
