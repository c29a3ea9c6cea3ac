"""The simulation finds races: a planted double spend, by the default settings, within 500 seeds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.time import Options, current_loop, run_virtual

SEEDS = 500


@dataclass
class Wallet:
    """A toy service that looks first and takes afterwards: between the two, others may run."""

    balance: int = 10
    sold: int = 0
    awaits: int = 1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def spend(self, amount: int) -> None:
        if self.balance >= amount:
            for _ in range(self.awaits):
                await asyncio.sleep(0)  # any await will do: it takes no time
            self.balance -= amount
            self.sold += 1

    async def spend_once(self, amount: int) -> None:
        """The repaired service."""
        async with self.lock:
            await self.spend(amount)


async def two_clients(spend: Callable[[Wallet], Callable[[int], object]], awaits: int = 1) -> Wallet:
    """Each sends one request that takes 1 to 50 ms to arrive. The money is enough for one."""
    wallet = Wallet(awaits=awaits)
    latency = current_loop().streams.get("latency")

    async def client() -> None:
        await asyncio.sleep(latency.uniform(0.001, 0.050))
        await spend(wallet)(10)  # type: ignore[misc]  # a bound coroutine function

    async with asyncio.TaskGroup() as group:
        group.create_task(client())
        group.create_task(client())
    return wallet


def double_spends(
    method: Callable[[Wallet], Callable[[int], object]], options: Options, awaits: int = 1
) -> list[int]:
    """The seeds under which the wallet went below nothing."""
    return [
        seed
        for seed in range(SEEDS)
        if run_virtual(lambda: two_clients(method, awaits), seed=seed, options=options).balance < 0
    ]


def racy(wallet: Wallet) -> Callable[[int], object]:
    return wallet.spend


def repaired(wallet: Wallet) -> Callable[[int], object]:
    return wallet.spend_once


def test_a_planted_double_spend_is_found_by_default() -> None:
    """On the default grid two requests meet in some of 500 seeds, and the toy sells twice."""
    found = double_spends(racy, Options())
    assert 2 <= len(found) <= 50
    assert run_virtual(lambda: two_clients(racy), seed=found[0]).sold == 2


def test_the_repaired_service_is_not_accused() -> None:
    """With a lock around look and take, no seed breaks it."""
    assert double_spends(repaired, Options()) == []


def test_without_a_grid_the_race_hides() -> None:
    """Why the grid: at microseconds no two requests ever meet, however long the window."""
    assert double_spends(racy, Options(grid_us=1)) == []
    assert double_spends(racy, Options(grid_us=1), awaits=16) == []


def test_a_cost_per_step_gives_code_width() -> None:
    """The other way to find it: code that takes time can be met in the middle."""
    assert double_spends(racy, Options(grid_us=1, step_cost_us=100), awaits=16) != []
