"""Every intent reaches billing, once, whatever happens on the way (A5)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refgate.ledger.events import Delivered, Postponed, Stuck
from refgate.ledger.records import Hold
from refgate.ledger.states import State
from refgate.policy.backoff import Backoff
from tests.refgate.ledger_kit import released, success
from tests.refgate.sweep_kit import COST, GRANT, HOLD, QUICK, Gateway, S, World, in_world

Main = Callable[[World], Awaitable[None]]
KINDS = pytest.mark.parametrize("kind", ["embedded", "remote"])


async def claimed(gateway: Gateway, call_id: str = "c1", amount: int = COST, **how: Any) -> None:
    """A call whose verdict is durable and whose intent nobody has delivered."""
    gateway.world.provider.tasks[f"task-{call_id}"] = 0
    await gateway.submit(call_id, **how)
    assert await gateway.store.claim(call_id, success(amount), intent_id=f"i-{call_id}", now_us=gateway.now)


def finalizes(gateway: Gateway) -> int:
    return sum(what == "finalize" for what, _ in gateway.billing.asked)


@KINDS
def test_an_intent_is_delivered_as_soon_as_it_is_told_of(tmp_path: Path, kind: str) -> None:
    """Woken, the deliverer does not wait for its turn; the call is finalized with its amount."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.deliverer.start()
        await claimed(gateway)
        gateway.deliverer.wake()
        await asyncio.sleep(0.1)
        assert world.state("c1") is State.FINALIZED
        assert world.balance() == (GRANT - COST, 0, COST)
        assert [type(event) for event in gateway.events] == [Delivered]
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_an_intent_nobody_told_of_is_found(tmp_path: Path) -> None:
    """The replica that wrote it may be dead: any other one looks by itself."""

    async def main(world: World) -> None:
        await claimed(world.gateway("dead"))
        other = world.gateway("g1")
        other.start()
        await asyncio.sleep(6)
        world.assert_settled()
        await other.stop()

    in_world(tmp_path / "s", main)


@KINDS
@pytest.mark.parametrize("lost", [1, 3])
def test_an_answer_lost_after_the_effect_costs_nothing(tmp_path: Path, kind: str, lost: int) -> None:
    """Sent again under the same key, it is the same finalize."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway)
        gateway.billing.answers_lost = lost
        gateway.deliverer.start()
        await asyncio.sleep(60)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        assert gateway.billing.asked[1:] == [("finalize", "finalize:c1")] * (lost + 1)
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_billing_down_for_hours_is_waited_for_without_hammering(tmp_path: Path) -> None:
    """Ever slower, at least once a minute, for ever; delivered within a minute of its return."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway)
        gateway.billing.down = True
        gateway.deliverer.start()
        await asyncio.sleep(3 * 3600)
        waits = [event.next_us - event.t_us for event in gateway.events if isinstance(event, Postponed)]
        assert 3 * 60 <= len(waits) <= 2 * 3 * 60 + 20
        assert waits[0] <= S // 5
        assert all(30 * S <= wait <= 60 * S for wait in waits[12:])
        gateway.billing.down = False
        await asyncio.sleep(61)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main)


def test_a_hanging_billing_is_cut_off_and_delays_no_other(tmp_path: Path) -> None:
    """Every wait has a ceiling, and one stuck delivery keeps one hand busy."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway, "c1")
        await claimed(gateway, "c2")
        gateway.billing.hanging = 1
        gateway.deliverer.start()
        await asyncio.sleep(1)
        assert (world.state("c1"), world.state("c2")) == (State.FINALIZING, State.FINALIZED)
        await asyncio.sleep(92)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main)


@KINDS
def test_a_contradiction_is_shown_and_asked_again_rarely(tmp_path: Path, kind: str) -> None:
    """Somebody else ended the hold: that is no verdict on the intent, and no reason to lose or to spin."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway)
        (intent,) = world.rows("SELECT hold_id FROM intents")
        await gateway.billing.finalize(key="stranger", hold_id=intent[0], amount_nanos=1, reason="?")
        gateway.deliverer.start()
        await asyncio.sleep(3600)
        stuck = [event for event in gateway.events if isinstance(event, Stuck)]
        assert 6 <= len(stuck) <= 7
        assert stuck[0].code == "conflict"
        assert world.state("c1") is State.FINALIZING
        assert world.rows("SELECT stuck, done_us FROM intents") == [(1, None)]
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_an_exception_nobody_foresaw_is_only_one_more_failure(tmp_path: Path) -> None:
    """It is named in the record, without its text, and tried again."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway)
        gateway.billing.raises = ValueError("secret text")
        gateway.deliverer.start()
        await asyncio.sleep(60)
        gateway.billing.raises = None
        await asyncio.sleep(61)
        world.assert_settled()
        first = gateway.events[0]
        assert isinstance(first, Postponed)
        assert first.error == "ValueError"
        assert "secret" not in repr(gateway.events)
        await gateway.stop()

    in_world(tmp_path / "s", main)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT", "SELECT i."])
def test_a_store_that_fails_neither_ends_the_loop_nor_makes_it_spin(tmp_path: Path, statement: str) -> None:
    """Ten minutes of errors, at every point: a bounded number of tries, and then the delivery."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway)
        tries = 0

        def fault(sql: str, side: str) -> None:
            nonlocal tries
            if side == "before" and sql.startswith(statement):
                tries += 1
                raise sqlite3.OperationalError("database is locked")

        world.fault = fault
        gateway.deliverer.start()
        await asyncio.sleep(600)
        assert 10 <= tries <= 1300
        assert world.state("c1") is State.FINALIZING
        world.fault = None
        await asyncio.sleep(61)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        await gateway.stop()

    in_world(tmp_path / "s", main, kind="remote")


def test_a_sink_that_raises_does_not_stop_money(tmp_path: Path) -> None:
    """A log that cannot be written loses a line, and no delivery."""

    class Deaf(list[Any]):
        def append(self, event: object) -> None:
            raise OSError("no space left")

    async def main(world: World) -> None:
        first = world.gateway()
        gateway = Gateway(world, "deaf", first.store, first.billing, events=Deaf())
        await claimed(gateway)
        gateway.billing.answers_lost = 2
        gateway.deliverer.start()
        await asyncio.sleep(60)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main)


# --- without a hold ------------------------------------------------------------------------------


@KINDS
def test_a_call_that_went_on_without_a_hold_is_charged_afterwards(tmp_path: Path, kind: str) -> None:
    """fail_open: a hold is taken then, and its id written down."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.billing.down = True
        await claimed(gateway, fail_open=True)
        gateway.billing.down = False
        gateway.deliverer.start()
        await asyncio.sleep(1)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        ((hold_id, flags),) = world.rows("SELECT hold_id, flags FROM calls")
        assert hold_id is not None
        assert flags == '["fail_open"]'
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
def test_a_reserve_that_had_landed_after_all_is_the_hold_that_is_charged(tmp_path: Path, kind: str) -> None:
    """The same key finds it: one hold, not two."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.billing.answers_lost = 1
        await claimed(gateway, fail_open=True)
        gateway.deliverer.start()
        await asyncio.sleep(1)
        assert world.holds() == [("c1", "finalized", COST)]
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
@pytest.mark.parametrize(("taken", "charged"), [(GRANT - HOLD + 1, COST), (GRANT - COST + 1, 0)])
def test_what_no_hold_can_be_had_for_is_unbillable_and_says_so(
    tmp_path: Path, kind: str, taken: int, charged: int
) -> None:
    """If the configured hold no longer fits, what is owed may; if not even that, the row is flagged."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.billing.down = True
        await claimed(gateway, fail_open=True)
        gateway.billing.down = False
        other = await gateway.billing.reserve(
            key="other", account="alice", amount_nanos=taken, call_id="other", provider="rh"
        )
        assert isinstance(other, Hold)
        gateway.deliverer.start()
        await asyncio.sleep(1)
        assert world.state("c1") is State.FINALIZED
        assert world.balance()[2] == charged
        ((flags,),) = world.rows("SELECT flags FROM calls")
        assert ("unbillable" in flags) == (charged == 0)
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_nothing_to_charge_needs_no_hold(tmp_path: Path) -> None:
    """A failed task that was let in without a hold ends without asking billing at all."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.billing.down = True
        await claimed(gateway, amount=0, fail_open=True)
        gateway.billing.asked.clear()
        gateway.deliverer.start()
        await asyncio.sleep(1)
        assert world.state("c1") is State.FINALIZED
        assert gateway.billing.asked == []
        await gateway.stop()

    in_world(tmp_path / "s", main)


@KINDS
def test_a_late_success_is_charged_through_a_hold_of_its_own(tmp_path: Path, kind: str) -> None:
    """The released call stays released; the late row is charged once."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await gateway.submit("c1")
        assert await gateway.store.claim("c1", released(), intent_id="i1", now_us=gateway.now)
        expired = await gateway.store.call("c1")
        assert expired is not None
        gateway.deliverer.start()
        await asyncio.sleep(30)
        assert world.balance() == (GRANT, 0, 0)
        await gateway.poll(expired)
        await gateway.poll(expired)
        await asyncio.sleep(1)
        world.assert_settled()
        assert world.holds() == [("c1", "finalized", 0), ("late-c1", "finalized", COST)]
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


# --- several replicas, and the end ---------------------------------------------------------------


@KINDS
def test_replicas_share_the_work_and_never_charge_twice(tmp_path: Path, kind: str) -> None:
    """Leases keep them apart; where they are too short to, the key does."""

    async def main(world: World) -> None:
        replicas = [world.gateway(f"g{n}") for n in range(3)]
        for n in range(12):
            await claimed(replicas[0], f"c{n:02d}")
        replicas[1].billing.hanging = 2
        replicas[2].billing.answers_lost = 2
        for replica in replicas:
            replica.deliverer.start()
        await asyncio.sleep(120)
        world.assert_settled()
        assert world.balance() == (GRANT - 12 * COST, 0, 12 * COST)
        assert all(hold[2] == COST for hold in world.holds())
        for replica in replicas:
            await replica.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_no_more_than_so_many_at_once(tmp_path: Path) -> None:
    """The ceiling holds in a backlog, and the backlog is worked off all the same."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        for n in range(20):
            await claimed(gateway, f"c{n:02d}")
        gateway.billing.hanging = 20
        gateway.deliverer.start()
        await asyncio.sleep(1)
        assert finalizes(gateway) == 4
        gateway.billing.hanging = 0
        await asyncio.sleep(120)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main, cadence=replace(QUICK, at_once=4))


def test_stopping_finishes_what_is_in_hand(tmp_path: Path) -> None:
    """A graceful stop leaves nothing half said, and takes nothing new."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await claimed(gateway, "c1")
        gateway.deliverer.start()
        await asyncio.sleep(0.004)  # the finalize is on its way: 5 ms there, 5 ms back
        await claimed(gateway, "c2")
        await gateway.deliverer.stop(within_us=S)
        assert (world.state("c1"), world.state("c2")) == (State.FINALIZED, State.FINALIZING)

    in_world(tmp_path / "s", main, kind="remote")


def test_stopping_has_a_deadline_and_the_lease_lets_others_go_on(tmp_path: Path) -> None:
    """What hangs is cut off in time, said so, and delivered by another replica."""

    async def main(world: World) -> None:
        gateway, other = world.gateway("g0"), world.gateway("g1")
        await claimed(gateway)
        gateway.billing.hanging = 1
        gateway.deliverer.start()
        await asyncio.sleep(1)
        before_us = world.loop.now_us
        await gateway.deliverer.stop(within_us=2 * S)
        assert world.loop.now_us - before_us == 2 * S
        assert "failed" in gateway.kinds()
        other.deliverer.start()
        await asyncio.sleep(35)
        world.assert_settled()
        await other.deliverer.stop(within_us=S)

    in_world(tmp_path / "s", main)


def test_waits_double_up_to_a_ceiling_and_are_never_alike() -> None:
    """From the upper half of each wait, so that progress is steady and a herd spreads out."""
    backoff = Backoff(first_us=200_000, max_us=60 * S)
    chance = random.Random("waits")
    for tries, whole in [
        (1, 200_000),
        (2, 400_000),
        (8, 25_600_000),
        (9, 51_200_000),
        (10, 60 * S),
        (10**6, 60 * S),
    ]:
        drawn = {backoff.delay_us(tries, chance) for _ in range(50)}
        assert len(drawn) > 40
        assert whole // 2 <= min(drawn)
        assert max(drawn) <= whole
