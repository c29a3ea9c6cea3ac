"""When billing refuses, is away, or leaves in doubt: what the caller hears, and that no hold is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fakes.billing import BillingService
from fakes.journal import BillingFinalized, BillingReserved, Journal
from fakes.wire import LinkFault, ResetAfter
from tests.refgate.edge_kit import S, World, code, played

REMOTE = {"kind": "remote", "url": "http://billing.test", "key": {"env": "BILLING_KEY"}, "timeout": "2s"}


def remote(world: World) -> Journal:
    """Attaches the remote billing service; its journal is the truth."""
    journal = Journal()
    accounts = {"alice": 10 * 10**9, "bob": 4 * 10**8}
    service = BillingService(journal, clock=lambda: world.loop.now_us, accounts=accounts)
    world.wire.attach("billing.test", service.app)
    return journal


def story_of(path: Path, story: Any, **changes: Any) -> World:
    return played(path, story, billing=REMOTE, **changes)


def test_a_task_is_charged_at_a_remote_service(tmp_path: Path) -> None:
    """The same life of a call, with holds and charges elsewhere."""

    async def story(world: World) -> None:
        journal = remote(world)
        await world.submit()
        await asyncio.sleep(25)
        await world.poll()
        await asyncio.sleep(1)
        assert [one.amount_nanos for one in journal.of(BillingReserved)] == [500_000_000]
        assert [one.amount_nanos for one in journal.of(BillingFinalized)] == [250_000_000]
        assert (await world.only_call())["state"] == "finalized"

    world = story_of(tmp_path, story)
    assert "canary" not in world.logged()


@pytest.mark.parametrize(
    ("caller", "status", "told"),
    [("bob", 402, "insufficient_funds"), ("alice-2", 403, "account_forbidden")],
)
def test_a_refusal_is_a_refusal(tmp_path: Path, caller: str, status: int, told: str) -> None:
    """No money and no account are the caller's to know; the provider hears nothing, the key is free."""

    async def story(world: World) -> None:
        remote(world)
        asked: dict[str, Any] = (
            {"as_": "bob"} if caller == "bob" else {"headers": (("x-thread-id", "alice-2"),)}
        )
        for _ in range(2):
            answer = await world.submit(key="k", **asked)
            assert (answer.status, code(answer)) == (status, told)
        assert world.provider.seen == []

    story_of(tmp_path, story)


def test_billing_that_is_away_refuses_and_frees_the_key(tmp_path: Path) -> None:
    """Fail closed: 503 with a time to come again; the provider hears nothing; the same key works later."""

    async def story(world: World) -> None:
        answer = await world.submit(key="k")
        assert (answer.status, code(answer)) == (503, "billing_unavailable")
        assert int(answer.header("retry-after") or 0) >= 1 and world.provider.seen == []
        assert (await world.only_call())["state"] == "rejected"
        remote(world)
        assert (await world.submit(key="k")).status == 200

    story_of(tmp_path, story)


def test_a_hold_that_billing_took_in_silence_is_given_back(tmp_path: Path) -> None:
    """Reserve was applied and its answer lost: the caller may retry at once, and the orphan is released."""

    async def story(world: World) -> None:
        journal = remote(world)
        world.wire.link("g0", "billing.test").add_fault(LinkFault(ResetAfter(), count=1))
        assert code(await world.submit(key="k")) == "billing_unavailable"
        assert (await world.submit(key="k")).status == 200
        assert len([*journal.of(BillingReserved)]) == 2
        await asyncio.sleep(200)
        released, charged = sorted(one.amount_nanos for one in journal.of(BillingFinalized))
        assert (released, charged) == (0, 250_000_000)

    story_of(tmp_path, story)


def test_going_on_without_a_hold_is_a_choice_that_the_row_shows(tmp_path: Path) -> None:
    """Fail open: the call goes on, flagged, and is charged once billing is back."""

    async def story(world: World) -> None:
        assert (await world.submit()).status == 200
        row = await world.only_call()
        assert (row["state"], row["flags"], row["hold_id"]) == ("running", ["unbilled_hold"], None)
        await asyncio.sleep(25)
        await world.poll()
        await asyncio.sleep(30)
        assert (await world.only_call())["state"] == "finalizing"
        journal = remote(world)
        await asyncio.sleep(120)
        assert [one.amount_nanos for one in journal.of(BillingFinalized)] == [250_000_000]
        row = await world.only_call()
        assert row["state"] == "finalized" and "unbilled_hold" in row["flags"]

    story_of(tmp_path, story, policies={"billing_unreachable": "fail_open"})


def test_billing_that_never_answers_has_its_own_time(tmp_path: Path) -> None:
    """A silent service costs its declared time and no more."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def story(world: World) -> None:
        world.wire.attach("billing.test", silent)
        began = world.loop.now_us
        assert code(await world.submit()) == "billing_unavailable"
        assert 2 * S <= world.loop.now_us - began <= 3 * S
        world.wire.attach("billing.test", BillingService(Journal(), clock=lambda: 0, accounts={}).app)

    story_of(tmp_path, story)


def test_a_budget_is_an_account_with_too_little(tmp_path: Path) -> None:
    """The embedded ledger's budget refuses as an empty account does, in its own words."""

    async def story(world: World) -> None:
        assert (await world.submit()).status == 200
        answer = await world.submit()
        assert (answer.status, code(answer)) == (402, "insufficient_funds")
        assert b"budget" in answer.body
        assert (await world.rows("calls"))[1]["reason"] == "over_budget"

    accounts = {"alice": {"grant": "10", "budget": "0.6"}, "alice-2": {"grant": "1"}, "bob": {"grant": "1"}}
    played(tmp_path, story, billing={"kind": "embedded", "accounts": accounts})
