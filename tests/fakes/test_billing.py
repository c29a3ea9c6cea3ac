"""The billing service over HTTP: each key once, each hold once, and books that balance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.books import Books, Refusal
from fakes.durations import EPOCH_US
from fakes.journal import Answered, BillingFinalized, BillingRefused, BillingReserved, Received
from fakes.wire import Answer
from tests.fakes.stage import Stage, document, with_billing


async def reserve(stage: Stage, key: str = "k1", amount: Any = 400, **more: Any) -> Answer:
    body = {"key": key, "account": "alice", "amount_nanos": amount, "call_id": "c1", "provider": "rh"}
    return await stage.call("POST", "/reserve", body | more)


async def finalize(stage: Stage, hold_id: str, key: str = "f1", amount: Any = 300, **more: Any) -> Answer:
    body = {"key": key, "hold_id": hold_id, "amount_nanos": amount, "reason": "success"}
    return await stage.call("POST", "/finalize", body | more)


def balances(stage: Stage) -> tuple[int, int, int]:
    balance = stage.billing.statement()["alice"]
    assert balance.granted == balance.available + balance.held + balance.settled
    return balance.available, balance.held, balance.settled


def test_reserve_then_finalize() -> None:
    """The hold sets money aside, the finalize captures its part and releases the rest."""

    async def main(stage: Stage) -> None:
        answer = await reserve(stage)
        assert (answer.status, document(answer)) == (200, {"hold_id": "hold-00000001", "amount_nanos": 400})
        assert balances(stage) == (600, 400, 0)
        answer = await finalize(stage, "hold-00000001")
        assert (answer.status, document(answer)) == (200, {"applied": True})
        assert balances(stage) == (700, 0, 300)
        [reserved], [finalized] = stage.facts(BillingReserved), stage.facts(BillingFinalized)
        assert (reserved.key, reserved.account, reserved.call_id, reserved.amount_nanos) == (
            "k1",
            "alice",
            "c1",
            400,
        )
        assert (finalized.hold_id, finalized.amount_nanos, finalized.reason) == (
            "hold-00000001",
            300,
            "success",
        )
        assert [fact.op for fact in stage.facts(Received)] == ["reserve", "finalize"]
        assert [fact.key for fact in stage.facts(Received)] == ["k1", "f1"]

    with_billing(main)


def test_a_key_is_applied_once() -> None:
    """The same request again gives the same answer and changes nothing."""

    async def main(stage: Stage) -> None:
        first, second = await reserve(stage), await reserve(stage)
        assert first.body == second.body
        hold_id = document(first)["hold_id"]
        for _ in range(3):
            assert (await finalize(stage, hold_id)).status == 200
        assert balances(stage) == (700, 0, 300)
        assert (await reserve(stage)).body == first.body  # also after the end
        assert len(stage.facts(BillingReserved)) == len(stage.facts(BillingFinalized)) == 1

    with_billing(main)


def test_a_used_key_refuses_anything_else() -> None:
    """Another amount or account, another hold, a second key for a finalized hold: 409, and no effect."""

    async def main(stage: Stage) -> None:
        hold_id = document(await reserve(stage))["hold_id"]
        other_id = document(await reserve(stage, "k2", 100))["hold_id"]
        assert (await reserve(stage, amount=500)).status == 409
        assert (await reserve(stage, call_id="c2")).status == 409
        await finalize(stage, hold_id)
        assert (await finalize(stage, hold_id, amount=301)).status == 409
        assert (await finalize(stage, other_id)).status == 409
        answer = await finalize(stage, hold_id, "f2")
        assert (answer.status, document(answer)) == (409, {"error": "already_finalized"})
        assert balances(stage) == (600, 100, 300)
        assert [fact.why for fact in stage.facts(BillingRefused)] == ["conflict"] * 4 + ["already_finalized"]

    with_billing(main)


def test_no_hold_beyond_what_is_available() -> None:
    """402, and the key stays free: with money it works."""

    async def main(stage: Stage) -> None:
        hold_id = document(await reserve(stage, "k1", 1_000))["hold_id"]
        answer = await reserve(stage, "k2", 1)
        assert (answer.status, document(answer)) == (402, {"error": "insufficient_funds"})
        assert [fact.why for fact in stage.facts(BillingRefused)] == ["insufficient_funds"]
        await finalize(stage, hold_id, amount=0)
        assert (await reserve(stage, "k2", 1)).status == 200

    with_billing(main)


def test_a_finalize_may_exceed_its_hold_and_leave_a_debt() -> None:
    """The truth is charged; what cannot be paid is owed."""

    async def main(stage: Stage) -> None:
        hold_id = document(await reserve(stage))["hold_id"]
        assert (await finalize(stage, hold_id, amount=1_500)).status == 200
        assert balances(stage) == (-500, 0, 1_500)
        assert (await reserve(stage, "k2", 1)).status == 402

    with_billing(main)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"amount_nanos": -1}, 400),
        ({"amount_nanos": 0.5}, 400),
        ({"amount_nanos": "400"}, 400),
        ({"amount_nanos": True}, 400),
        ({"amount_nanos": 10**19}, 400),
        ({"key": ""}, 400),
        ({"key": None}, 400),
        ({"account": "nobody"}, 404),
        ({"call_id": 7}, 400),
    ],
)
def test_a_reserve_that_makes_no_sense_is_refused(fields: dict[str, Any], status: int) -> None:
    """And has no effect."""

    async def main(stage: Stage) -> None:
        assert (await reserve(stage, **fields)).status == status
        assert balances(stage) == (1_000, 0, 0)
        assert len(stage.facts(BillingRefused)) == 1

    with_billing(main)


def test_a_finalize_that_makes_no_sense_is_refused() -> None:
    """Unknown hold, negative amount, no document."""

    async def main(stage: Stage) -> None:
        hold_id = document(await reserve(stage))["hold_id"]
        assert (await finalize(stage, "hold-00000009")).status == 404
        assert (await finalize(stage, hold_id, amount=-1)).status == 400
        assert (await stage.call("POST", "/finalize", b"{")).status == 400
        assert balances(stage) == (600, 400, 0)

    with_billing(main)


def test_a_hold_is_looked_up_by_id_and_by_key() -> None:
    """Its opening is told in wall time; an unknown key finds nothing, an unknown id is 404."""

    async def main(stage: Stage) -> None:
        await stage.until(2)
        hold_id = document(await reserve(stage))["hold_id"]
        shown = {
            "hold_id": hold_id,
            "key": "k1",
            "account": "alice",
            "call_id": "c1",
            "amount_nanos": 400,
            "state": "open",
            "captured_nanos": 0,
            "opened_us": EPOCH_US + 2_000_000,
        }
        assert document(await stage.call("GET", f"/holds/{hold_id}")) == shown
        assert document(await stage.call("GET", "/holds?key=k1")) == {"holds": [shown], "next": None}
        assert document(await stage.call("GET", "/holds?key=k2")) == {"holds": [], "next": None}
        assert (await stage.call("GET", "/holds/hold-9")).status == 404
        await finalize(stage, hold_id)
        done = shown | {"state": "finalized", "captured_nanos": 300}
        assert document(await stage.call("GET", f"/holds/{hold_id}")) == done
        assert stage.billing.holds() == [done]

    with_billing(main)


def test_open_holds_are_listed_in_pages() -> None:
    """In order of opening; the cursor leads to the rest, and the last page has none."""

    async def main(stage: Stage) -> None:
        for n in range(5):
            await reserve(stage, f"k{n}", 10)
        await finalize(stage, "hold-00000002")
        seen: list[str] = []
        after = ""
        while True:
            page = document(await stage.call("GET", f"/holds?state=open&limit=2{after}"))
            seen += [hold["key"] for hold in page["holds"]]
            assert len(page["holds"]) <= 2
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert seen == ["k0", "k2", "k3", "k4"]
        everything = document(await stage.call("GET", "/holds?limit=9999"))
        assert len(everything["holds"]) == 5

    with_billing(main)


@pytest.mark.parametrize("query", ["state=closed", "after=1", "limit=-1", "limit=x"])
def test_a_listing_that_makes_no_sense_is_refused(query: str) -> None:
    """400."""

    async def main(stage: Stage) -> None:
        assert (await stage.call("GET", f"/holds?{query}")).status == 400

    with_billing(main)


def test_nothing_is_done_without_the_key_of_the_service() -> None:
    """401, whatever was asked."""

    async def main(stage: Stage) -> None:
        for headers in ((), (("authorization", "Bearer canary-caller-alice"),)):
            stage.headers = headers
            answer = await reserve(stage)
            assert (answer.status, document(answer)) == (401, {"error": "unauthorized"})
        assert balances(stage) == (1_000, 0, 0)

    with_billing(main)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/reserve"), ("POST", "/holds"), ("GET", "/"), ("DELETE", "/holds/x")]
)
def test_what_is_not_offered_is_404(method: str, path: str) -> None:
    """In the service's own shape."""

    async def main(stage: Stage) -> None:
        answer = await stage.call(method, path)
        assert (answer.status, document(answer)) == (404, {"error": "not_found"})
        assert len(stage.facts(Answered)) == 1

    with_billing(main)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("reserve"), st.sampled_from("abcde"), st.sampled_from(["x", "y"]), st.integers(0, 60)
        ),
        st.tuples(st.just("finalize"), st.sampled_from("fghij"), st.integers(1, 5), st.integers(0, 90)),
    ),
    max_size=40,
)


@given(steps)
def test_the_books_balance_after_every_step(taken: list[Any]) -> None:
    """Granted = available + held + settled, and what is settled is the sum of what was captured."""
    books = Books({"x": 100, "y": 50})
    for op, key, who, amount in taken:
        try:
            if op == "reserve":
                books.reserve(key=key, account=who, amount_nanos=amount, call_id=key, provider="", now_us=0)
            else:
                books.finalize(key=key, hold_id=f"hold-{who:08d}", amount_nanos=amount)
        except Refusal:
            pass
        for account, balance in books.statement().items():
            holds = [hold for hold in books.holds if hold.account == account]
            assert balance.granted == balance.available + balance.held + balance.settled
            assert balance.held == sum(hold.amount_nanos for hold in holds if hold.state == "open")
            assert balance.settled == sum(hold.captured_nanos for hold in holds)
