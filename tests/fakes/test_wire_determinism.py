"""The same seed gives the same traffic, to the step: in one process, in others, under any schedule."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fakes.time import Options, current_loop, run_virtual
from fakes.wire import (
    Blackhole,
    DirectClient,
    Jitter,
    LinkFault,
    Percentiles,
    Refuse,
    ResetAfter,
    ResetDuring,
    Timeouts,
    Trickle,
    Wire,
    WireError,
)

DEFAULT = Options()


def world(seed: int, options: Options = DEFAULT) -> str:
    """A rough hour: three clients, streams, faults of every kind, clients that leave, a power cut."""
    lines: list[str] = []

    async def stream(request: Request) -> Response:
        async def chunks() -> Any:
            for n in range(int(request.query_params["n"])):
                yield b"%d," % n
                await asyncio.sleep(0.01)

        return StreamingResponse(chunks())

    async def client(wire: Wire, name: str) -> None:
        loop = current_loop()
        draw = loop.streams.get(f"traffic/{name}")
        for n in range(25):
            await asyncio.sleep(draw.randint(1, 200) / 1000)
            got = ""
            try:
                async with asyncio.timeout(draw.choice([0.15, 2, 5])):
                    answer = await DirectClient(wire, name).request(
                        "GET", f"http://a.test/?n={n}", timeouts=Timeouts(read_us=400_000, pool_us=100_000)
                    )
                    got = f"{answer.status} {answer.body.decode()}"
            except (WireError, TimeoutError) as error:
                got = f"{type(error).__name__} {error}"
            lines.append(f"{loop.now_us} {name} {n} {got}")

    async def main() -> str:
        loop = current_loop()
        wire = Wire(loop)
        app = Starlette(routes=[Route("/", stream)])
        wire.attach("a.test", app, owner=loop.owner("server"))
        for name in ("one", "two", "three"):
            link = wire.link(name, "a.test")
            link.latency = (
                Jitter(1_000, 40_000) if name != "two" else Percentiles(((50, 5_000), (99, 90_000)))
            )
            for kind in (Refuse(), ResetDuring(6), ResetAfter(), Blackhole("answer"), Trickle(500)):
                link.add_fault(LinkFault(kind, probability=0.1))
        wire.link("three", "a.test").connections_max = 1
        loop.call_later(2, loop.cut, loop.owner("server"))
        loop.call_later(2.5, lambda: wire.attach("a.test", app, owner=loop.owner("server")))
        async with asyncio.TaskGroup() as group:
            for name in ("one", "two", "three"):
                group.create_task(client(wire, name))
        await asyncio.sleep(60)
        assert wire.open_exchanges() == 0
        assert all(link.counts().open == link.counts().waiting == 0 for link in wire.links())
        lines.extend(str(played) for played in wire.faults_played)
        return "\n".join([*lines, loop.digest()])

    return run_virtual(main, seed=seed, options=options)


@pytest.mark.parametrize("seed", range(5))
def test_one_seed_is_one_history(seed: int) -> None:
    """Twice in one process: the same lines, the same steps. Everything is given back in the end."""
    assert world(seed) == world(seed)


@pytest.mark.parametrize("options", [Options(schedule="pick"), Options(step_cost_us=50)])
def test_under_another_schedule_it_is_another_history_and_still_one(options: Options) -> None:
    """The options change what happens, not whether it can be repeated."""
    assert world(1, options) == world(1, options) != world(1)


def test_other_processes_give_the_same_history() -> None:
    """Fresh interpreters, with other hash seeds."""
    here = world(3)
    assert world(4) != here
    for hash_seed in ("0", "1", "4711"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        there = subprocess.run(
            [sys.executable, __file__, "3"], env=env, capture_output=True, text=True, check=True
        )
        assert there.stdout == here + "\n"


if __name__ == "__main__":
    print(world(int(sys.argv[1])))
