"""Several processes: results in order, and an end at once when a person says so."""

import signal

from scenarios.workers import in_order


def double(number: int) -> int:
    return 2 * number


def when_interrupted(_: int) -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_results_are_in_the_order_of_what_was_asked():
    """Whoever was first."""
    assert list(in_order(double, range(20), workers=2, at_once=3)) == list(range(0, 40, 2))
    assert list(in_order(double, range(3), workers=1)) == [0, 2, 4]


def test_ctrl_c_ends_a_worker():
    """It does not go on with what is next in line; this process keeps its own way."""
    assert list(in_order(when_interrupted, range(4), workers=2)) == [True] * 4
    assert not when_interrupted(0)
