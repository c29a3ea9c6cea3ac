"""Draws that depend on what they are for, and not on their order."""

import pytest

from fakes.chance import Draws, chance
from fakes.time import Streams


def test_a_draw_is_a_number_below_one() -> None:
    """Spread evenly over [0, 1)."""
    draws = [chance(1, "faults", n) for n in range(10_000)]
    assert all(0 <= draw < 1 for draw in draws)
    for tenth in range(10):
        assert 850 < sum(tenth / 10 <= draw < (tenth + 1) / 10 for draw in draws) < 1_150


def test_a_draw_depends_on_its_keys_alone() -> None:
    """Equal keys, equal draws, whatever was drawn between; this one is the same in every process."""
    first = chance(7, "rh", "submit", 3)
    chance(7, "rh", "submit", 2)
    assert chance(7, "rh", "submit", 3) == first == 0.49496101990524377


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        ((1,), ("1",)),
        ((b"x",), ("x",)),
        ((None,), ("",)),
        ((), (None,)),
        ((1, 2), (12,)),
    ],
)
def test_keys_that_read_alike_are_told_apart(one: tuple[str], other: tuple[str]) -> None:
    """Types and borders count."""
    assert chance(1, *one) != chance(1, *other)
    assert chance(1, *one) != chance(2, *one)


def test_numbered_draws_are_spread_and_stay() -> None:
    """Over [0, 1) in both numbers, each name another; these two are the same in every process."""
    draws = Draws(1, "latency", "a", "b")
    for many in ([draws.at(n, 2) for n in range(10_000)], [draws.at(7, n) for n in range(10_000)]):
        assert all(0 <= draw < 1 for draw in many)
        assert len(set(many)) == 10_000
        for tenth in range(10):
            assert 850 < sum(tenth / 10 <= draw < (tenth + 1) / 10 for draw in many) < 1_150
    assert (draws.at(1, 2), draws.at(2, 1)) == (0.5723775984720471, 0.02529650407750972)
    assert Draws(2, "latency", "a", "b").at(1, 2) != draws.at(1, 2) != Draws(1, "latency", "ab", "").at(1, 2)


def test_keys_without_a_stable_text_are_refused() -> None:
    """A float or an object as key would tie the draw to a process."""
    with pytest.raises(TypeError, match="float"):
        chance(1, 0.5)  # type: ignore[arg-type]


def test_streams_are_named_and_apart() -> None:
    """Each name is a stream of its own; the same name is the same stream."""
    streams = Streams(5)
    assert streams.get("ids") is streams.get("ids")
    again = Streams(5)
    again.get("traffic").random()
    assert streams.get("ids").random() == again.get("ids").random()
    assert Streams(6).get("ids").random() != Streams(5).get("ids").random()
