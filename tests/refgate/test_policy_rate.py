"""Rate: never above the limit in any window, exact to the microsecond, corrected when the truth is known."""

from fractions import Fraction

import pytest

from refgate.policy.rate import MINUTE_US, Rate, Window, lane_limit

S = 1_000_000


def test_a_full_window_names_the_instant_at_which_it_frees() -> None:
    """One window after the call that is in the way."""
    window = Window(2)
    window.take(0)
    window.take(10 * S)
    assert window.free_us(20 * S) == MINUTE_US
    assert window.free_us(20 * S, 2) == MINUTE_US + 10 * S
    assert window.free_us(MINUTE_US) == MINUTE_US


def test_nothing_is_taken_from_a_full_window() -> None:
    """Asking comes first."""
    window = Window(1)
    window.take(0)
    with pytest.raises(ValueError, match="full"):
        window.take(MINUTE_US - 1)
    window.take(MINUTE_US)


def test_no_burst_at_the_turn_of_a_minute() -> None:
    """The window slides: a full one at its end leaves nothing for the next second."""
    window = Window(10)
    for _ in range(10):
        window.take(59 * S)
    assert window.free_us(61 * S) == 59 * S + MINUTE_US


def test_more_than_the_limit_waits_for_an_empty_window_and_not_for_ever() -> None:
    """A call estimated above the whole limit has the window to itself."""
    window = Window(100)
    window.take(0, 1)
    assert window.free_us(1, 1_000) == MINUTE_US
    window.take(MINUTE_US, 1_000)
    assert window.used == 100


def test_what_was_not_used_is_given_back() -> None:
    """The estimate was too high: the room is there at once."""
    window = Window(100)
    taken = window.take(0, 90)
    window.correct(taken, S, taken=90, used=20)
    assert window.free_us(S, 80) == S


def test_what_was_used_above_the_estimate_counts_from_when_it_is_known() -> None:
    """The estimate was too low: the next ones wait."""
    window = Window(100)
    taken = window.take(0, 50)
    window.correct(taken, 30 * S, taken=50, used=120)
    assert window.free_us(30 * S, 30) == MINUTE_US
    assert window.free_us(30 * S, 31) == 30 * S + MINUTE_US


def test_a_correction_after_the_window_gives_nothing_back_twice() -> None:
    """What has slid out is no longer counted, and cannot be returned."""
    window = Window(100)
    taken = window.take(0, 90)
    window.correct(taken, 2 * MINUTE_US, taken=90, used=10)
    assert window.used == 0


def test_memory_is_bounded_and_errs_on_the_side_of_waiting() -> None:
    """A hundred thousand calls a minute are kept in some two thousand entries."""
    window = Window(100_000)
    for n in range(100_000):
        window.take(n * 600)
    assert len(window._entries) <= 2_100
    assert window.used == 100_000
    assert MINUTE_US <= window.free_us(MINUTE_US - 1) <= MINUTE_US + MINUTE_US // 1_000


def test_calls_and_tokens_are_both_kept() -> None:
    """The later of the two decides; no limit is no limit."""
    rate = Rate(calls=Window(10), tokens=Window(100))
    rate.take(0, 100)
    assert rate.free_us(S, 0) == S
    assert rate.free_us(S, 1) == MINUTE_US
    assert Rate().free_us(S, 10**9) == S
    Rate().take(S, 10**9)


def test_the_call_stays_counted_when_its_tokens_are_corrected() -> None:
    """It went out."""
    rate = Rate(calls=Window(1), tokens=Window(100))
    rate.correct(rate.take(0, 50), S, taken=50, used=0)
    assert rate.free_us(S, 0) == MINUTE_US
    assert rate.tokens is not None and rate.tokens.used == 0


def test_a_call_that_never_went_out_leaves_the_rate_as_it_was() -> None:
    """Its room is free again, once."""
    rate = Rate(calls=Window(1), tokens=Window(100))
    rate.take_back(rate.take(0, 50), S, taken=50)
    assert rate.free_us(S, 100) == S


def test_a_clock_set_back_admits_no_more() -> None:
    """What was counted stays counted."""
    window = Window(2)
    window.take(10 * S)
    window.take(0)
    assert window.free_us(0) == 10 * S + MINUTE_US


@pytest.mark.parametrize(
    ("limit", "fraction", "calls"),
    [(60, Fraction(1, 10), 6), (100, Fraction(29, 100), 29), (5, Fraction(1, 10), 1), (7, Fraction(1, 2), 3)],
)
def test_the_emergency_lane_is_an_exact_share(limit: int, fraction: Fraction, calls: int) -> None:
    """The whole part, and at least one; 29 % of 100 is 29, which in floats it is not."""
    assert lane_limit(limit, fraction) == calls


def test_a_limit_of_nothing_is_refused() -> None:
    """A backend that may never be called is no backend."""
    with pytest.raises(ValueError, match="one or more"):
        Window(0)
