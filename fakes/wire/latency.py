"""How long one message takes from one end of a link to the other.

Pure: a latency is given a draw in [0, 1) and answers in microseconds. It does not know where the
draw comes from, so the same message of the same run always takes as long.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["Fixed", "Jitter", "Latency", "Percentiles"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same."""

    us: int = 0

    def __post_init__(self) -> None:
        if self.us < 0:
            raise ValueError(f"a latency cannot be negative: {self.us}")

    def of(self, draw: float) -> int:
        return self.us


@dataclass(frozen=True, slots=True)
class Jitter:
    """Anything from `low_us` to `high_us`, evenly."""

    low_us: int
    high_us: int

    def __post_init__(self) -> None:
        if not 0 <= self.low_us <= self.high_us:
            raise ValueError(f"jitter needs 0 <= low <= high, not {self.low_us} and {self.high_us}")

    def of(self, draw: float) -> int:
        return self.low_us + int(draw * (self.high_us - self.low_us + 1))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A straight line between the given (percent, microseconds) points, flat outside them.

    `Percentiles(((50, 200_000), (99, 2_000_000)))`: half of all messages take 200 ms, one in a hundred 2 s.
    """

    points: tuple[tuple[float, int], ...]

    def __post_init__(self) -> None:
        if not self.points or list(self.points) != sorted(self.points):
            raise ValueError("percentiles need at least one point, in rising order")
        percents = [percent for percent, _ in self.points]
        times = [us for _, us in self.points]
        if len(set(percents)) != len(percents) or percents[0] < 0 or percents[-1] > 100:
            raise ValueError("percentiles lie between 0 and 100, each given once")
        if times != sorted(times) or times[0] < 0:
            raise ValueError("a higher percentile cannot be faster than a lower one, nor negative")

    def of(self, draw: float) -> int:
        percent = draw * 100
        index = bisect_right(self.points, percent, key=lambda point: point[0])
        if index == 0:
            return self.points[0][1]
        if index == len(self.points):
            return self.points[-1][1]
        (left, low_us), (right, high_us) = self.points[index - 1], self.points[index]
        return low_us + int((percent - left) / (right - left) * (high_us - low_us))


Latency = Fixed | Jitter | Percentiles
