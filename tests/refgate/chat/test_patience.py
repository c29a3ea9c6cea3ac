"""Whatever is over first ends the wait: the phase, the call's time, or what is left to a caller who left."""

import asyncio

import pytest

from fakes.time import run_virtual
from refgate.chat.patience import Patience, Phase

S = 1_000_000


def ended(
    *steps: tuple[float, Phase, float], whole_s: float = 60, left_at: float | None = None
) -> tuple[Phase, float]:
    """What ended a wait, and after how long; `steps` are phases: when they begin, and what time they have."""

    async def main() -> tuple[Phase, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        patience = Patience(whole_us=int(whole_s * S))
        if left_at is not None:
            loop.call_at(began + left_at, lambda: patience.leave(within_us=2 * S))
        with pytest.raises(TimeoutError):
            async with patience:
                for at, phase, us in steps:
                    await asyncio.sleep(began + at - loop.time())
                    patience.phase(phase, int(us * S))
                await asyncio.Event().wait()
        assert patience.over is not None
        return patience.over, round(loop.time() - began, 3)

    return run_virtual(main)


def test_a_phase_ends_by_itself() -> None:
    """And the one after it counts from its own beginning, longer or shorter."""
    assert ended((0, Phase.HEADERS, 10)) == (Phase.HEADERS, 10)
    assert ended((0, Phase.HEADERS, 10), (3, Phase.FIRST_TOKEN, 20)) == (Phase.FIRST_TOKEN, 23)
    assert ended((0, Phase.HEADERS, 10), (3, Phase.TAIL, 1)) == (Phase.TAIL, 4)
    assert ended((0, Phase.HEADERS, 5), *((n, Phase.BETWEEN_TOKENS, 5) for n in range(1, 9))) == (
        Phase.BETWEEN_TOKENS,
        13,
    )


def test_the_call_ends_before_its_phase() -> None:
    """However long that would be."""
    assert ended((0, Phase.HEADERS, 10), whole_s=4) == (Phase.WHOLE, 4)


def test_leaving_ends_it_soon() -> None:
    """Not later than the phase would have."""
    assert ended((0, Phase.HEADERS, 10), left_at=1) == (Phase.LEFT, 3)
    assert ended((0, Phase.HEADERS, 2), left_at=1) == (Phase.HEADERS, 2)


def test_what_is_done_in_time_is_not_disturbed() -> None:
    """Nothing rings afterwards."""

    async def main() -> None:
        patience = Patience(whole_us=S)
        async with patience:
            patience.phase(Phase.HEADERS, S // 2)
        await asyncio.sleep(3)
        assert patience.over is None

    run_virtual(main)
