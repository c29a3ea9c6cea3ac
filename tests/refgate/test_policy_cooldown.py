"""Cooldown: grows with refusals in a row, keeps the hint, always ends, and is not fooled by old news."""

import random
from fractions import Fraction

import pytest

from refgate.policy.cooldown import Cooldown, CooldownRule

S = 1_000_000
RULE = CooldownRule(first_us=1 * S, max_us=60 * S)


def refused(state: Cooldown, now_us: int, *, begun_us: int | None = None, hint_us: int = 0) -> Cooldown:
    begun_us = now_us if begun_us is None else begun_us
    return state.refused(RULE, begun_us=begun_us, now_us=now_us, hint_us=hint_us, chance=random.Random(1))


def length_us(state: Cooldown, now_us: int) -> int:
    assert state.until_us is not None
    return state.until_us - now_us


def test_each_refusal_in_a_row_doubles_it_up_to_the_ceiling() -> None:
    """Before jitter: 1, 2, 4 … 60 seconds."""
    assert [RULE.whole_us(n) // S for n in (1, 2, 3, 6, 7, 1_000_000)] == [1, 2, 4, 32, 60, 60]


def test_a_multiplier_may_be_a_fraction() -> None:
    """One and a half times each, exactly."""
    rule = CooldownRule(first_us=8, max_us=100, multiplier=Fraction(3, 2))
    assert [rule.whole_us(n) for n in (1, 2, 3, 4)] == [8, 12, 18, 27]


def test_the_hint_is_kept_where_it_is_longer() -> None:
    """Also beyond the ceiling on growth."""
    assert length_us(refused(Cooldown(), 0, hint_us=300 * S), 0) >= 300 * S


def test_it_ends() -> None:
    """At its end the backend is cooling no more."""
    state = refused(Cooldown(), 5)
    assert state.until_us is not None
    assert state.cooling(state.until_us - 1)
    assert not state.cooling(state.until_us)
    assert not Cooldown().cooling(0)


def test_backends_refused_together_do_not_return_together() -> None:
    """Jitter spreads the ends over a quarter of the time."""
    chance = random.Random(7)
    ends = {
        Cooldown().refused(RULE, begun_us=0, now_us=0, hint_us=0, chance=chance).until_us for _ in range(50)
    }
    assert len(ends) > 40
    assert all(end is not None and S <= end <= S + S // 4 for end in ends)


def test_a_success_resets_the_growth() -> None:
    """The next refusal counts from one again."""
    state = refused(refused(refused(Cooldown(), 0), 2 * S), 8 * S)
    assert state.in_a_row == 3
    assert refused(state.succeeded(begun_us=20 * S), 21 * S).in_a_row == 1


def test_a_stale_success_clears_nothing() -> None:
    """It began before the refusal, so it knows nothing of it."""
    state = refused(Cooldown(), 10 * S)
    assert state.succeeded(begun_us=10 * S - 1) == state


def test_a_success_does_not_cut_a_running_cooldown_short() -> None:
    """A call of the emergency lane went through; the backend's wish stands."""
    state = refused(Cooldown(), 0, hint_us=30 * S)
    assert state.succeeded(begun_us=S).until_us == state.until_us


def test_refusals_of_calls_under_way_together_count_once() -> None:
    """Ten calls sent at once and all refused are one refusal, not ten in a row."""
    state = Cooldown()
    for n in range(10):
        state = refused(state, 1_000 + n, begun_us=0)
    assert state.in_a_row == 1


def test_a_late_refusal_still_lengthens_by_its_hint() -> None:
    """What the backend asks for is heard from whichever call."""
    state = refused(refused(Cooldown(), 10), 20, begun_us=0, hint_us=90 * S)
    assert state.until_us is not None and state.until_us >= 20 + 90 * S


@pytest.mark.parametrize(("first_us", "max_us", "multiplier"), [(0, 1, 2), (2, 1, 2), (1, 1, Fraction(1, 2))])
def test_a_rule_that_makes_no_sense_is_refused(first_us: int, max_us: int, multiplier: Fraction) -> None:
    """No cooldown of no length, above its ceiling, or that shrinks."""
    with pytest.raises(ValueError, match="cooldown"):
        CooldownRule(first_us, max_us, Fraction(multiplier))
