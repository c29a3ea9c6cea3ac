"""Backoff: grows, spreads, and never outlasts the deadline."""

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


def test_the_deadline_leaves_half_of_the_rest_for_the_try() -> None:
    """A wait up to the deadline would leave no time to answer."""
    until = BACKOFF.until_us(5, random.Random(3), now_us=100, deadline_us=100 + S)
    assert until == 100 + S // 2


def test_what_makes_no_sense_is_refused() -> None:
    """Waits below zero, or that shrink."""
    with pytest.raises(ValueError, match="zero or more"):
        Backoff(-1, 5)
    with pytest.raises(ValueError, match="shrink"):
        Backoff(1, 5, Fraction(1, 2))
