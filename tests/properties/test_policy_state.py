"""Cooldown, breaker and rate under any order of events and any passing of time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from refgate.policy.backoff import Backoff
from refgate.policy.breaker import Breaker, BreakerRule, Pass, State
from refgate.policy.choose import Candidate, choose
from refgate.policy.cooldown import Cooldown, CooldownRule
from refgate.policy.rate import Reserved, Window

SEEDS = st.integers(0, 2**32)
STEPS = st.integers(0, 20)


@given(
    rule=st.builds(
        lambda first, more, multiplier: CooldownRule(first, first + more, multiplier),
        st.integers(1, 10**7),
        st.integers(0, 10**9),
        st.fractions(1, 10, max_denominator=9),
    ),
    seed=SEEDS,
    events=st.lists(
        st.tuples(st.booleans(), st.integers(0, 10**7), st.integers(0, 10**8), st.integers(0, 10**10)),
        max_size=40,
    ),
)
def test_a_cooldown_keeps_every_hint_and_always_ends(
    rule: CooldownRule, seed: int, events: list[tuple[bool, int, int, int]]
) -> None:
    """Never shorter than its hint, never longer than declared, never ended early by anything."""
    chance, state, now_us, bound_us = random.Random(seed), Cooldown(), 0, 0
    for refused, later_us, age_us, hint_us in events:
        now_us += later_us
        before_us = state.until_us or 0
        if refused:
            state = state.refused(
                rule, begun_us=now_us - age_us, now_us=now_us, hint_us=hint_us, chance=chance
            )
            bound_us = max(bound_us, now_us + rule.longest_us(hint_us))
            assert state.until_us is not None
            assert state.until_us >= now_us + max(hint_us, rule.first_us)
        else:
            state = state.succeeded(begun_us=now_us - age_us)
        assert (state.until_us or 0) >= before_us
        assert not state.cooling(bound_us)


class BreakerMachine(RuleBasedStateMachine):
    """Whatever is settled, given back, lost or late, at most one probe holds a lease, and time frees it."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = BreakerRule(open_us=50, lease_us=20, failures_max=3)
        self.breaker = Breaker(self.rule)
        self.chance = random.Random(1)
        self.now_us = 0
        self.out: list[Pass] = []
        self.probe: Pass | None = None
        self.probe_until_us = 0

    @rule(us=STEPS)
    def time_passes(self, us: int) -> None:
        self.now_us += us

    @rule()
    def call(self) -> None:
        state = self.breaker.state(self.now_us)
        given_pass = self.breaker.admit(self.now_us)
        assert (given_pass is not None) == (
            state is State.CLOSED
            or (state is State.HALF_OPEN and (self.probe is None or self.now_us >= self.probe_until_us))
        )
        if given_pass is None:
            return
        assert (given_pass.probe > 0) == (state is State.HALF_OPEN)
        if given_pass.probe:
            self.probe, self.probe_until_us = given_pass, self.now_us + self.rule.lease_us
        self.out.append(given_pass)

    @rule()
    def emergency(self) -> None:
        self.out.append(self.breaker.admit_anyway())

    def _settle(self, at: int) -> Pass:
        return self.out.pop(at % len(self.out))

    def _after(self, era: int, settled: Pass) -> None:
        if self.breaker.era != era or settled is self.probe:
            self.probe = None

    @precondition(lambda self: self.out)
    @rule(at=STEPS)
    def succeeds(self, at: int) -> None:
        settled, era = self._settle(at), self.breaker.era
        self.breaker.succeeded(settled)
        assert settled.era != era or self.breaker.state(self.now_us) is State.CLOSED
        self._after(era, settled)

    @precondition(lambda self: self.out)
    @rule(at=STEPS)
    def fails(self, at: int) -> None:
        settled, era = self._settle(at), self.breaker.era
        self.breaker.failed(settled, self.now_us, self.chance)
        self._after(era, settled)

    @precondition(lambda self: self.out)
    @rule(at=STEPS)
    def is_cancelled(self, at: int) -> None:
        settled, era = self._settle(at), self.breaker.era
        self.breaker.let_go(settled)
        self._after(era, settled)

    @precondition(lambda self: self.out)
    @rule(at=STEPS)
    def is_lost(self, at: int) -> None:
        self._settle(at)

    @invariant()
    def never_stuck(self) -> None:
        """From here, silence alone leads to a call being let through, in bounded time."""
        free_us = self.breaker.free_us(self.now_us)
        assert free_us <= self.now_us + self.rule.open_us * 5 // 4 + self.rule.lease_us


TestBreaker = BreakerMachine.TestCase


class WindowMachine(RuleBasedStateMachine):
    """Against a plain list of all that was ever admitted: exact, also while corrections come in."""

    LIMIT, WINDOW_US = 20, 100

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(self.LIMIT, self.WINDOW_US)
        self.now_us = 0
        self.log: list[list[int]] = []  # [at, amount]
        self.out: list[tuple[Reserved, list[int], int]] = []

    def used(self, at_us: int) -> int:
        return sum(amount for at, amount in self.log if at_us - self.WINDOW_US < at <= at_us)

    @rule(us=STEPS)
    def time_passes(self, us: int) -> None:
        self.now_us += us

    @rule(amount=st.integers(0, 30))
    def call(self, amount: int) -> None:
        free_us = self.window.free_us(self.now_us, amount)
        counted = min(amount, self.LIMIT)
        assert (free_us == self.now_us) == (self.used(self.now_us) + counted <= self.LIMIT)
        later = list(range(self.now_us, self.now_us + self.WINDOW_US + 1))
        fits = [
            at
            for at in later
            if sum(n for t, n in self.log if at - self.WINDOW_US < t) + counted <= self.LIMIT
        ]
        assert free_us == fits[0]
        if free_us == self.now_us:
            reserved = self.window.take(self.now_us, amount)
            entry = [self.now_us, counted]
            self.log.append(entry)
            self.out.append((reserved, entry, amount))

    @precondition(lambda self: self.out)
    @rule(at=STEPS, used=st.integers(0, 40))
    def is_corrected(self, at: int, used: int) -> None:
        reserved, entry, amount = self.out.pop(at % len(self.out))
        self.window.correct(reserved, self.now_us, taken=amount, used=used)
        if used > entry[1]:
            self.log.append([self.now_us, used - entry[1]])
        elif entry[0] > self.now_us - self.WINDOW_US:
            entry[1] = used

    @invariant()
    def counts_what_is_in_the_window(self) -> None:
        self.window.free_us(self.now_us)
        assert self.window.used == self.used(self.now_us)


TestWindow = WindowMachine.TestCase


@given(steps=st.lists(st.integers(0, 40), max_size=300), limit=st.integers(1, 6))
def test_no_window_holds_more_calls_than_the_limit(steps: list[int], limit: int) -> None:
    """Whenever callers come: every window of every position, counted afterwards."""
    window, now_us, admitted = Window(limit, 100), 0, []
    for step in steps:
        now_us += step
        if window.free_us(now_us) == now_us:
            window.take(now_us)
            admitted.append(now_us)
    for start in admitted:
        assert sum(start <= at < start + 100 for at in admitted) <= limit


@given(
    backoff=st.builds(
        Backoff, st.integers(0, 10**7), st.integers(0, 10**8), st.fractions(1, 10, max_denominator=9)
    ),
    tries=st.integers(0, 10**6),
    left_us=st.integers(1, 10**9),
    seed=SEEDS,
)
def test_a_backoff_keeps_the_deadline(backoff: Backoff, tries: int, left_us: int, seed: int) -> None:
    """However long it would rest, and however little time is left."""
    until_us = backoff.until_us(tries, random.Random(seed), now_us=7, deadline_us=7 + left_us)
    assert 7 <= until_us < 7 + left_us


@given(
    candidates=st.lists(
        st.builds(Candidate, st.sampled_from("abcdef"), st.integers(1, 9), st.integers(0, 99)),
        min_size=1,
        unique_by=lambda one: one.name,
    ),
    seed=SEEDS,
)
def test_the_choice_is_a_candidate(candidates: list[Candidate], seed: int) -> None:
    """For all weights and strikes."""
    assert choose(candidates, random.Random(seed)) in {one.name for one in candidates}
