"""No call is left lying: whatever died, hung or kept silent, the sweep ends it or keeps asking (A4–A7)."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from refgate.ledger.events import Overdue
from refgate.ledger.keys import reserve_key
from refgate.ledger.records import Hold
from refgate.ledger.states import State
from tests.refgate.ledger_kit import attempt
from tests.refgate.sweep_kit import COST, GRANT, HOLD, QUICK, Gateway, S, World, in_world

KINDS = pytest.mark.parametrize("kind", ["embedded", "remote"])
LEASED = (State.NEW, State.RESERVED, State.SUBMITTING)  # in which a live handler may be at work


async def left_in(gateway: Gateway, state: State, call_id: str = "c1") -> None:
    """A call whose handler died in this state; what it had told billing, billing knows."""
    store, world = gateway.store, gateway.world
    lease_us = gateway.now + world.cadence.lease_us
    await store.open_call(world.new_call(call_id))
    if state is State.NEW:
        return
    hold = await gateway.billing.reserve(
        key=reserve_key(call_id), account="alice", amount_nanos=HOLD, call_id=call_id, provider="rh"
    )
    assert isinstance(hold, Hold)
    await store.reserved(call_id, hold_id=hold.hold_id, flags=(), now_us=gateway.now, due_us=lease_us)
    if state is State.RESERVED:
        return
    await store.begin_submit(call_id, attempt(call_id), due_us=lease_us)


# --- handlers that died --------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("state", LEASED)
def test_a_live_handler_is_left_alone_for_its_lease(tmp_path: Path, kind: str, state: State) -> None:
    """Until then the sweep does not touch it."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        await left_in(gateway, state)
        await asyncio.sleep(29)
        assert world.state("c1") is state
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
@pytest.mark.parametrize("landed", [False, True])
def test_a_handler_that_died_while_reserving_costs_nothing(tmp_path: Path, kind: str, landed: bool) -> None:
    """A6: whether billing had heard of it or not, there is one hold, and it is given back."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await left_in(gateway, State.NEW)
        if landed:
            await gateway.billing.reserve(
                key=reserve_key("c1"), account="alice", amount_nanos=HOLD, call_id="c1", provider="rh"
            )
        gateway.start()
        await asyncio.sleep(40)
        world.assert_settled()
        assert world.holds() == [("c1", "finalized", 0)]
        ((outcome, reason),) = world.rows("SELECT outcome, reason FROM calls")
        assert (outcome, reason) == ("unreached", "abandoned")
        assert world.provider.tasks == {}
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_a_handler_that_died_before_a_refusal_leaves_a_rejected_call(tmp_path: Path) -> None:
    """Asked again, billing refuses again: nothing was held."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await left_in(gateway, State.NEW)
        await gateway.billing.reserve(
            key="other", account="alice", amount_nanos=GRANT, call_id="other", provider="rh"
        )
        gateway.start()
        await asyncio.sleep(40)
        assert world.state("c1") is State.REJECTED
        assert world.rows("SELECT reason FROM calls") == [("insufficient_funds",)]
        await gateway.stop()

    in_world(tmp_path / "s", main)


@KINDS
def test_a_handler_that_died_with_its_hold_gives_it_back(tmp_path: Path, kind: str) -> None:
    """The provider has heard nothing: 0, and the retry under the key is told so."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await left_in(gateway, State.RESERVED)
        gateway.start()
        await asyncio.sleep(40)
        world.assert_settled()
        assert world.balance() == (GRANT, 0, 0)
        answer = await gateway.store.answer("c1", "submit")
        assert answer is not None
        assert answer.body == b"unreached"
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_a_handler_that_died_while_sending_leaves_an_unknown_call(tmp_path: Path) -> None:
    """A4: not a failure. It is found under its label, runs, and is charged."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await left_in(gateway, State.SUBMITTING)
        await world.provider.submit("c1")
        gateway.start()
        await asyncio.sleep(200)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        assert list(world.provider.tasks) == ["task-c1"]
        await gateway.stop()

    in_world(tmp_path / "s", main)


def test_a_handler_that_lives_after_all_loses_to_the_sweep(tmp_path: Path) -> None:
    """It took longer than its lease: the call was ended, and it does not submit any more."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        slow = asyncio.create_task(_slow_submit(gateway))
        await asyncio.sleep(120)
        assert await slow == "given up"
        world.assert_settled()
        assert world.provider.tasks == {}
        await gateway.stop()

    in_world(tmp_path / "s", main)


async def _slow_submit(gateway: Gateway) -> str:
    await gateway.store.open_call(gateway.world.new_call("c1"))
    hold = await gateway.billing.reserve(
        key=reserve_key("c1"), account="alice", amount_nanos=HOLD, call_id="c1", provider="rh"
    )
    assert isinstance(hold, Hold)
    await asyncio.sleep(60)
    kept = await gateway.store.reserved(
        "c1", hold_id=hold.hold_id, flags=(), now_us=gateway.now, due_us=gateway.now
    )
    return "goes on" if kept else "given up"


# --- unknown submits -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 4])
def test_an_unknown_submit_is_resolved_and_charged_once(tmp_path: Path, lost: int) -> None:
    """However often the answer is lost: one task, one charge."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        world.provider.loses_answers = lost
        await gateway.submit("c1")
        assert world.state("c1") is State.UNKNOWN
        await asyncio.sleep(400)
        world.assert_settled()
        assert list(world.provider.tasks) == ["task-c1"]
        assert world.balance() == (GRANT - COST, 0, COST)
        await gateway.stop()

    in_world(tmp_path / "s", main)


@pytest.mark.parametrize("release", [False, True])
def test_what_cannot_be_resolved_follows_the_declared_policy(tmp_path: Path, release: bool) -> None:
    """Released at the deadline, flagged; or asked about for ever, ever more slowly, and said so."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        world.provider.loses_answers = 1
        await gateway.submit("c1")
        await asyncio.sleep(590)
        assert world.state("c1") is State.UNKNOWN
        await asyncio.sleep(20)
        if release:
            world.assert_settled()
            assert world.rows("SELECT outcome, flags, amount_nanos FROM calls") == [
                ("expired", '["unverified"]', 0)
            ]
        else:
            assert world.state("c1") is State.UNKNOWN
            await asyncio.sleep(3600)
            overdue = [event for event in gateway.events if isinstance(event, Overdue)]
            assert 3600 // 300 <= len(overdue) <= 3600 // 150 + 3
        await gateway.stop()

    cadence = replace(QUICK, verdict_within_us=600 * S)
    in_world(tmp_path / "s", main, resolves=False, release=release, cadence=cadence)


# --- tasks nobody polls --------------------------------------------------------------------------


@KINDS
def test_a_task_nobody_polls_is_charged(tmp_path: Path, kind: str) -> None:
    """A7: the caller left for good, the work was done."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        await gateway.submit("c1")
        await asyncio.sleep(70)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


def test_a_long_task_is_asked_about_ever_more_slowly(tmp_path: Path) -> None:
    """Not every sweep, and not never: five times the first interval at most."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        world.provider.takes_us = 3_000 * S
        await gateway.submit("c1")
        await asyncio.sleep(3_000)
        assert 3_000 // 300 <= world.provider.polls <= 25
        await asyncio.sleep(310)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main)


def test_a_task_without_an_end_is_released_at_its_deadline_and_late_success_charged(tmp_path: Path) -> None:
    """At the deadline, not before and not much later; the success that comes to light is charged once."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        world.provider.takes_us = 1_000 * S
        await gateway.submit("c1")
        await asyncio.sleep(598)
        assert world.state("c1") is State.RUNNING
        await asyncio.sleep(12)
        world.assert_settled()
        assert world.balance() == (GRANT, 0, 0)
        await asyncio.sleep(600)
        released = await gateway.store.by_task("rh", "task-c1")
        assert released is not None
        await gateway.poll(released)
        await gateway.poll(released)
        await asyncio.sleep(1)
        world.assert_settled()
        assert world.balance() == (GRANT - COST, 0, COST)
        await gateway.stop()

    cadence = replace(QUICK, verdict_within_us=600 * S)
    in_world(tmp_path / "s", main, release=True, cadence=cadence)


def test_a_caller_who_keeps_polling_does_not_keep_the_deadline_away(tmp_path: Path) -> None:
    """Each poll defers the sweep, but never across the deadline."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        world.provider.takes_us = 10**15
        await gateway.submit("c1")
        call = await gateway.store.call("c1")
        assert call is not None
        for _ in range(610 // 2):
            due_us = world.cadence.next_look_us(
                created_us=call.created_us, now_us=gateway.now, after_us=world.cadence.poll_after_us
            )
            await gateway.store.look_again("c1", due_us=due_us, now_us=gateway.now)
            await asyncio.sleep(2)
        assert world.state("c1") is State.FINALIZED
        await gateway.stop()

    cadence = replace(QUICK, verdict_within_us=600 * S)
    in_world(tmp_path / "s", main, release=True, cadence=cadence)


@pytest.mark.parametrize("trouble", ["silent", "broken"])
def test_a_provider_in_trouble_neither_stops_the_sweep_nor_the_deadline(tmp_path: Path, trouble: str) -> None:
    """Silence is cut off, an exception is told of; at the deadline the policy decides all the same."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        await gateway.submit("c1")
        setattr(world.provider, trouble, True)
        await asyncio.sleep(800)
        world.assert_settled()
        assert world.rows("SELECT outcome FROM calls") == [("expired",)]
        assert "failed" in gateway.kinds()
        await gateway.stop()

    cadence = replace(QUICK, verdict_within_us=600 * S)
    in_world(tmp_path / "s", main, release=True, cadence=cadence)


def test_one_silent_call_delays_no_other(tmp_path: Path) -> None:
    """It keeps one hand busy; the rest of the backlog is worked off meanwhile."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        world.provider.silent = True
        await gateway.submit("stuck")
        gateway.start()
        await asyncio.sleep(66)
        world.provider.silent = False
        for n in range(20):
            await gateway.submit(f"c{n:02d}")
        await asyncio.sleep(80)
        running = world.rows("SELECT call_id FROM calls WHERE state = 'running'")
        assert running == [("stuck",)]
        await asyncio.sleep(300)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main, cadence=replace(QUICK, at_once=4))


# --- orphans and old keys ------------------------------------------------------------------------


@KINDS
def test_a_hold_that_landed_after_its_call_was_rejected_is_given_back(tmp_path: Path, kind: str) -> None:
    """A6, A16: billing's yes came after the gateway had stopped waiting."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.billing.answers_lost = 1
        await gateway.submit("c1")
        assert world.state("c1") is State.REJECTED
        assert world.balance() == (GRANT - HOLD, HOLD, 0)
        gateway.start()
        await asyncio.sleep(130)
        world.assert_settled()
        assert world.balance() == (GRANT, 0, 0)
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
def test_a_hold_whose_call_is_not_in_the_store_is_given_back(tmp_path: Path, kind: str) -> None:
    """The row is written before billing hears of a call, so no living call can be meant."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await gateway.billing.reserve(
            key=reserve_key("gone"), account="alice", amount_nanos=HOLD, call_id="gone", provider="rh"
        )
        gateway.start()
        await asyncio.sleep(130)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
def test_holds_of_others_and_of_living_calls_are_never_touched(tmp_path: Path, kind: str) -> None:
    """However old they are."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        world.provider.takes_us = 10**15
        await gateway.submit("c1")
        gateway.billing.down = True
        await gateway.submit("c2", fail_open=True)  # runs without a hold that it knows of
        gateway.billing.down = False
        await gateway.billing.reserve(
            key=reserve_key("c2"), account="alice", amount_nanos=HOLD, call_id="c2", provider="rh"
        )
        await gateway.billing.reserve(
            key="of another system", account="alice", amount_nanos=HOLD, call_id="its own", provider="x"
        )
        gateway.start()
        await asyncio.sleep(3 * 3600)
        assert [hold[1] for hold in world.holds()] == ["open"] * 3
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind)


@KINDS
def test_orphans_are_found_behind_pages_of_living_holds(tmp_path: Path, kind: str) -> None:
    """The sweep turns pages, and goes on in the next round where it stopped."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        world.provider.takes_us = 10**15
        for n in range(7):
            await gateway.submit(f"c{n}")
        gateway.billing.answers_lost = 1
        await gateway.submit("lost")
        gateway.start()
        await asyncio.sleep(400)
        assert [hold[0] for hold in world.holds() if hold[1] == "finalized"] == ["lost"]
        await gateway.stop()

    in_world(tmp_path / "s", main, kind=kind, cadence=replace(QUICK, batch=2, pages_max=2))


def test_keys_are_forgotten_after_their_time_even_with_billing_down(tmp_path: Path) -> None:
    """One duty of the housekeeping does not wait for the other."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        gateway.start()
        await gateway.submit("c1")
        await asyncio.sleep(70)
        gateway.billing.down = True
        assert await gateway.store.answer("c1", "submit") is not None
        await asyncio.sleep(3_700)
        assert await gateway.store.answer("c1", "submit") is None
        assert world.state("c1") is State.FINALIZED
        await gateway.stop()

    in_world(tmp_path / "s", main)


# --- troubles ------------------------------------------------------------------------------------


@KINDS
def test_two_replicas_sweep_one_store(tmp_path: Path, kind: str) -> None:
    """A12: calls left in every state, two sweeps at once, one end for each call."""

    async def main(world: World) -> None:
        one, two = world.gateway("g0"), world.gateway("g1")
        for n, state in enumerate(LEASED):
            await left_in(one, state, f"left{n}")
        for n in range(4):
            await one.submit(f"c{n}")
        one.billing.answers_lost = two.billing.answers_lost = 2
        one.start()
        two.start()
        await asyncio.sleep(400)
        world.assert_settled()
        ended = world.rows("SELECT count(*) FROM intents")
        assert ended == [(7,)]
        assert all(captured in (0, COST) for _, _, captured in world.holds())
        assert world.balance()[2] == COST * len(world.provider.tasks)
        await one.stop()
        await two.stop()

    in_world(tmp_path / "s", main, kind=kind)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT", "SELECT"])
def test_a_store_that_fails_for_a_while_is_survived(tmp_path: Path, statement: str) -> None:
    """Neither death nor spinning; afterwards everything is worked off."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        for n, state in enumerate(LEASED):
            await left_in(gateway, state, f"left{n}")
        await gateway.submit("c1")
        gateway.start()
        failed = 0

        def fault(sql: str, side: str) -> None:
            nonlocal failed
            if side == "before" and sql.startswith(statement):
                failed += 1
                raise sqlite3.OperationalError("disk I/O error")

        world.fault = fault
        await asyncio.sleep(600)
        assert 50 <= failed <= 3_000
        world.fault = None
        await asyncio.sleep(400)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main, kind="remote")


def test_billing_down_while_sweeping_is_survived(tmp_path: Path) -> None:
    """A call left before its hold waits for billing's word, at a bounded pace."""

    async def main(world: World) -> None:
        gateway = world.gateway()
        await left_in(gateway, State.NEW)
        gateway.billing.down = True
        gateway.start()
        await asyncio.sleep(3_600)
        assert world.state("c1") is State.NEW
        reserves = [key for what, key in gateway.billing.asked if what == "reserve"]
        assert 3_600 // 300 <= len(reserves) <= 40
        assert set(reserves) == {reserve_key("c1")}
        gateway.billing.down = False
        await asyncio.sleep(310)
        world.assert_settled()
        await gateway.stop()

    in_world(tmp_path / "s", main)


def test_stopping_cuts_the_sweep_off_in_time(tmp_path: Path) -> None:
    """A silent provider does not keep the process; the call comes back by its lease elsewhere."""

    async def main(world: World) -> None:
        gateway, other = world.gateway("g0"), world.gateway("g1")
        await gateway.submit("c1")
        world.provider.silent = True
        gateway.reconciler.start()
        await asyncio.sleep(66)
        before_us = world.loop.now_us
        await gateway.reconciler.stop(within_us=2 * S)
        assert world.loop.now_us - before_us == 2 * S
        world.provider.silent = False
        other.start()
        await asyncio.sleep(120)
        world.assert_settled()
        await other.stop()

    in_world(tmp_path / "s", main)
