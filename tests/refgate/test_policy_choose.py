"""Choose: by weight and health, and by the stream of chance alone."""

import random
from collections import Counter

from refgate.policy.choose import Candidate, choose


def drawn(*candidates: Candidate, times: int = 4_000) -> Counter[str | None]:
    chance = random.Random(11)
    return Counter(choose(candidates, chance) for _ in range(times))


def test_weights_are_shares() -> None:
    """Three to one, within a few per cent."""
    counts = drawn(Candidate("a", 3), Candidate("b", 1))
    assert 2_880 <= counts["a"] <= 3_120


def test_failures_in_a_row_halve_the_share() -> None:
    """One strike, one half; never to nothing."""
    counts = drawn(Candidate("a"), Candidate("b", strikes=1))
    assert 1_230 <= counts["b"] <= 1_440
    assert Candidate("a", strikes=1_000).share == 1


def test_of_none_comes_none() -> None:
    """Nobody to choose from."""
    assert choose([], random.Random(1)) is None


def test_the_same_stream_chooses_the_same() -> None:
    """Chance comes from the stream alone."""
    candidates = [Candidate(name, weight) for weight, name in enumerate("abcde", 1)]
    first, second = random.Random(5), random.Random(5)
    assert [choose(candidates, first) for _ in range(50)] == [choose(candidates, second) for _ in range(50)]
