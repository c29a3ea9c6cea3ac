"""The power goes at every step and at every commit of a call's life; after a restart the books are right.

One submit, one poll, a sweep: cut before each step of the replica, and before and after each of its
commits, on both kinds of billing. Whatever was lost, the call ends, its hold ends, and the account pays
for the work that was done and for nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.time import Owner, PowerCut
from refgate.ledger.states import State
from tests.refgate.sweep_kit import COST, GRANT, Gateway, S, World, in_world

KINDS = pytest.mark.parametrize("kind", ["embedded", "remote"])
_CALM_US = 500 * S


@dataclass(frozen=True)
class Cut:
    """Where the power goes: before the n-th step, or at the n-th commit, on one side of it."""

    at_step: int | None = None
    at_commit: int | None = None
    side: str = "before"


class Life:
    """A replica that is started again two seconds after each cut, and what it has been through."""

    def __init__(self, world: World, cut: Cut) -> None:
        self.world = world
        self.cut = cut
        self.commits = 0
        self.cuts = 0
        self.owner: Owner | None = None
        self.gateway: Gateway | None = None
        world.fault = self._at_commit

    def boot(self, *call_ids: str) -> None:
        owner = self.owner = self.world.loop.owner("g0")
        owner.on_cut.append(self._gone)
        if owner.incarnation == 1:
            owner.cut_at_step = self.cut.at_step
        self.world.loop.spawn(owner, self._process(call_ids), name="process")

    async def _process(self, call_ids: tuple[str, ...]) -> None:
        self.gateway = self.world.gateway("g0")
        self.gateway.start()
        for call_id in call_ids:
            await self.gateway.submit(call_id)
        await asyncio.Event().wait()

    def _gone(self) -> None:
        self.cuts += 1
        if self.world.loop.now_us < _CALM_US:
            self.world.loop.call_later(2, self.boot)

    def poll(self) -> None:
        """As a caller's poll would be served, if there is anybody to serve it."""

        async def serve(gateway: Gateway) -> None:
            call = await gateway.store.call("c1")
            if call is not None and call.state is State.RUNNING:
                await gateway.poll(call)

        if self.owner is not None and self.owner.alive and self.gateway is not None:
            self.world.loop.spawn(self.owner, serve(self.gateway), name="poll")

    def _at_commit(self, sql: str, side: str) -> None:
        if sql != "COMMIT":
            return
        self.commits += side == "before"
        if (self.commits, side) == (self.cut.at_commit, self.cut.side):
            assert self.owner is not None
            self.world.loop.cut(self.owner)
            raise PowerCut


def live(path: Path, kind: str, cut: Cut, *, answers_lost: int) -> Life:
    """Plays one life with one cut at most, and judges how it ended."""

    async def main(world: World) -> Life:
        world.provider.loses_answers = answers_lost
        life = Life(world, cut)
        life.boot("c1")
        await asyncio.sleep(25)
        life.poll()
        await asyncio.sleep(600)
        world.fault = None
        states = world.rows("SELECT state FROM calls")
        assert states in ([], [("finalized",)], [("rejected",)])
        world.assert_settled()
        work_done = len(world.provider.tasks)
        assert work_done <= 1
        assert world.balance() == (GRANT - COST * work_done, 0, COST * work_done)
        assert [captured for _, _, captured in world.holds()].count(COST) == work_done
        assert life.owner is not None
        world.loop.cut(life.owner)
        return life

    return in_world(path, main, kind=kind)


@KINDS
@pytest.mark.parametrize("answers_lost", [0, 1])
def test_a_cut_at_any_commit_loses_and_doubles_nothing(tmp_path: Path, kind: str, answers_lost: int) -> None:
    """Before it, nothing of the transaction is there; after it, all of it is and nobody heard."""
    calm = live(tmp_path / "calm", kind, Cut(), answers_lost=answers_lost)
    assert calm.commits >= 8
    for at in range(1, calm.commits + 1):
        for side in ("before", "after"):
            life = live(
                tmp_path / f"{at}-{side}", kind, Cut(at_commit=at, side=side), answers_lost=answers_lost
            )
            assert life.cuts >= 2, (at, side)


@KINDS
@pytest.mark.parametrize("answers_lost", [0, 1])
def test_a_cut_at_any_step_loses_and_doubles_nothing(tmp_path: Path, kind: str, answers_lost: int) -> None:
    """Between any two awaits of the replica; every step of the submit, the poll and the delivery."""
    at = 1
    while True:
        life = live(tmp_path / str(at), kind, Cut(at_step=at), answers_lost=answers_lost)
        if life.cuts == 1:
            break  # the life has fewer steps: only the end of the test cut it
        at += 1 if at < 60 else 11
    assert at > 100
