"""Backoff: grows, spreads, keeps hints, and never outlasts the deadline."""

import random
from fractions import Fraction

import pytest

from refgate.policy.backoff import Backoff

S = 1_000_000
BACKOFF = Backoff(first_us=S, max_us=10 * S)


def test_waits_grow_to_a_ceiling_and_lie_in_the_upper_half() -> None:
    """Between half of the whole wait and all of it."""
    chance = random.Random(3)
    for tries, whole_s in ((0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (10**9, 10)):
        waits = [BACKOFF.delay_us(tries, chance) for _ in range(30)]
        assert all(whole_s * S // 2 <= wait <= whole_s * S for wait in waits)
        assert len(set(waits)) > 20


def test_a_multiplier_may_be_a_fraction() -> None:
    """Exactly, without floats."""
    assert Backoff(8, 100, Fraction(3, 2)).whole_us(4) == 27


def test_a_hint_is_kept_and_spread_above_it() -> None:
    """Those who were told the same do not come back at the same instant."""
    chance = random.Random(3)
    waits = [BACKOFF.delay_us(3, chance, hint_us=30 * S) for _ in range(30)]
    assert min(waits) >= 30 * S
    assert len(set(waits)) > 20


def test_the_deadline_leaves_half_of_the_rest_for_the_try() -> None:
    """A wait up to the deadline would leave no time to answer."""
    until = BACKOFF.until_us(5, random.Random(3), now_us=100, deadline_us=100 + S)
    assert until == 100 + S // 2


@pytest.mark.parametrize(("left_us", "hint_us"), [(0, 0), (-5, 0), (S, S), (S, 2 * S)])
def test_without_time_for_a_try_there_is_none(left_us: int, hint_us: int) -> None:
    """The deadline has passed, or the hint reaches to it."""
    assert BACKOFF.until_us(1, random.Random(3), now_us=0, deadline_us=left_us, hint_us=hint_us) is None


def test_a_hint_is_not_cut_by_what_is_left() -> None:
    """It is kept whole, or there is no try."""
    until = BACKOFF.until_us(1, random.Random(3), now_us=0, deadline_us=10 * S, hint_us=8 * S)
    assert until == 8 * S


def test_what_makes_no_sense_is_refused() -> None:
    """Waits below zero, or that shrink."""
    with pytest.raises(ValueError, match="zero or more"):
        Backoff(-1, 5)
    with pytest.raises(ValueError, match="shrink"):
        Backoff(1, 5, Fraction(1, 2))
