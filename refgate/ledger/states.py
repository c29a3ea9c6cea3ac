"""A call's life: the states, and the only moves between them.

Theory of operation
===================
A call is one submit of one caller: its row is made before anybody outside hears of it and is never
deleted. Every move is a compare-and-set in the store ("from one of these states to that one"), so
that of any number of tasks, replicas and restarts exactly one makes it.

Rule 1: nothing here does the moving; the store does, from the states that `before` names and no others.
Rule 2: money moves only out of `FINALIZING`, and only by the intent written in the same transaction
        as the move into it.
Rule 3: `UNKNOWN` is not a verdict. A call leaves it when the provider's truth is known, or by the
        declared deadline policy.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MOVES", "TERMINAL", "Outcome", "State", "before"]


class State(StrEnum):
    NEW = "new"  # row and key exist; billing may or may not have heard of it
    RESERVED = "reserved"  # the hold is known; the provider has heard nothing
    SUBMITTING = "submitting"  # bytes may be on their way to the provider
    UNKNOWN = "unknown"  # the provider may have accepted; nobody knows yet
    RUNNING = "running"  # the provider gave a task id
    FINALIZING = "finalizing"  # the verdict and its intent are durable; billing has not acknowledged
    FINALIZED = "finalized"  # billing acknowledged
    REJECTED = "rejected"  # ended before a hold was taken: refused, or billing unreachable


class Outcome(StrEnum):
    SUCCESS = "success"  # the provider did the work
    FAILED = "failed"  # the provider says the task failed
    REFUSED = "refused"  # the provider refused the submit, by status or in business terms
    UNREACHED = "unreached"  # the provider was never touched
    EXPIRED = "expired"  # released at the deadline without a verdict, by declared policy
    DUPLICATE = "duplicate"  # the provider answered with a task that another call already owns


_S = State
MOVES: dict[State, frozenset[State]] = {
    _S.NEW: frozenset({_S.RESERVED, _S.REJECTED}),
    _S.RESERVED: frozenset({_S.SUBMITTING, _S.FINALIZING}),
    _S.SUBMITTING: frozenset({_S.RUNNING, _S.UNKNOWN, _S.FINALIZING}),
    _S.UNKNOWN: frozenset({_S.RUNNING, _S.FINALIZING}),
    _S.RUNNING: frozenset({_S.FINALIZING}),
    _S.FINALIZING: frozenset({_S.FINALIZED}),
    _S.FINALIZED: frozenset(),
    _S.REJECTED: frozenset(),
}

TERMINAL = frozenset(state for state, nexts in MOVES.items() if not nexts)


def before(there: State) -> tuple[State, ...]:
    """The states from which the table allows the move."""
    return tuple(here for here in State if there in MOVES[here])
