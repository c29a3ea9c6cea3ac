"""The billing service's client: only a well-formed yes or no is a verdict."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.acts.script import Script
from fakes.billing import BillingService
from fakes.journal import BillingFinalized, BillingReserved, Journal
from fakes.time import current_loop, run_virtual
from fakes.wire import DirectClient, Timeouts, Wire, WireError
from refgate.answer import Answer
from refgate.ledger.records import Hold, Refused
from refgate.ledger.remote_billing import RemoteBilling
from refgate.ports import BillingUnreachable
from tests.refgate.ledger_kit import drive

T = TypeVar("T")
KEY = "canary-billing"
S = 1_000_000


class Service:
    """The fake service on the wire, and our client of it."""

    def __init__(self, acts: list[Mapping[str, Any]], key: str) -> None:
        loop = current_loop()
        self.journal = Journal()
        self.fake = BillingService(
            self.journal,
            clock=lambda: loop.now_us,
            accounts={"alice": 1_000},
            script=Script.for_billing(acts),
        )
        wire = Wire(loop)
        wire.attach("billing.test", self.fake.app)
        self._client = DirectClient(wire, "gateway")
        self.billing = RemoteBilling(self._exchange, url="http://billing.test/", key=key)

    async def _exchange(
        self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> Answer | None:
        try:
            answer = await self._client.request(
                method, url, headers=headers, body=body, timeouts=Timeouts(S, S, S, S)
            )
        except WireError:
            return None
        return Answer(answer.status, answer.headers, answer.body)

    async def reserve(self, key: str = "k1", amount: int = 400, account: str = "alice") -> Hold | Refused:
        return await self.billing.reserve(
            key=key, account=account, amount_nanos=amount, call_id=f"call-{key}", provider="rh"
        )


def with_service(
    main: Callable[[Service], Awaitable[None]], *acts: Mapping[str, Any], key: str = KEY
) -> None:
    async def play() -> None:
        await main(Service(list(acts), key))

    run_virtual(play)


async def until_verdict(ask: Callable[[], Awaitable[T]]) -> tuple[T, int]:
    """The verdict, and how often there was none before it."""
    for misses in range(9):
        try:
            return await ask(), misses
        except BillingUnreachable:
            continue
    raise AssertionError("billing never gave a verdict")


# --- against the service -------------------------------------------------------------------------


def test_a_hold_is_taken_listed_and_finalized() -> None:
    """The whole of it, and each part twice: a key is applied once."""

    async def main(service: Service) -> None:
        hold = await service.reserve()
        assert isinstance(hold, Hold)
        assert await service.reserve() == hold
        page = await service.billing.open_holds(opened_before_us=10**18, after=None, limit=9)
        assert [(h.hold_id, h.key, h.account, h.call_id, h.amount_nanos) for h in page.holds] == [
            (hold.hold_id, "k1", "alice", "call-k1", 400)
        ]
        for _ in range(2):
            done = await service.billing.finalize(
                key="f1", hold_id=hold.hold_id, amount_nanos=300, reason="success"
            )
            assert done is None
        assert service.fake.statement()["alice"].settled == 300
        assert len(list(service.journal.of(BillingReserved))) == 1
        assert len(list(service.journal.of(BillingFinalized))) == 1

    with_service(main)


def test_refusals_of_the_service_are_told_apart() -> None:
    """No money, no account, no hold, and a key that stands for something else."""

    async def main(service: Service) -> None:
        assert await service.reserve(amount=1_001) == Refused("insufficient_funds")
        assert await service.reserve(account="nobody") == Refused("account_unknown")
        hold = await service.reserve()
        assert isinstance(hold, Hold)
        assert await service.reserve(amount=401) == Refused("conflict")
        finalize = service.billing.finalize
        none = await finalize(key="f0", hold_id="hold-99999999", amount_nanos=1, reason="r")
        assert none == Refused("hold_unknown")
        await finalize(key="f1", hold_id=hold.hold_id, amount_nanos=1, reason="r")
        for key, amount in [("f1", 2), ("f2", 1)]:
            again = await finalize(key=key, hold_id=hold.hold_id, amount_nanos=amount, reason="r")
            assert again == Refused("conflict")

    with_service(main)


def test_pages_follow_the_cursor_of_the_service() -> None:
    """Holds younger than the bound are left out, and a page without any is not the end."""

    async def main(service: Service) -> None:
        for n in range(5):
            await service.reserve(f"k{n}", 10)
        seen: list[str] = []
        after: str | None = None
        for _ in range(9):
            page = await service.billing.open_holds(opened_before_us=10**18, after=after, limit=2)
            seen += [hold.key for hold in page.holds]
            after = page.next
            if after is None:
                break
        assert seen == ["k0", "k1", "k2", "k3", "k4"]
        young = await service.billing.open_holds(opened_before_us=1, after=None, limit=2)
        assert young.holds == ()
        assert young.next is not None

    with_service(main)


@pytest.mark.parametrize(
    "act",
    [
        {"down": {}},
        {"error": {"status": 500}},
        {"odd_body": {"kind": "html"}},
        {"odd_body": {"kind": "list"}},
        {"odd_body": {"kind": "empty"}},
        {"odd_body": {"kind": "empty_object"}},
        {"never_answers": {}},
        {"drop": {}},
        {"reset": {}},
        {"garbage": {}},
        {"applied_but_answer_lost": {}},
        {"cut": {"after_bytes": 5}},
    ],
    ids=lambda act: next(iter(act)),
)
@pytest.mark.parametrize("op", ["reserve", "finalize"])
def test_whatever_is_no_verdict_is_asked_again_and_applied_once(op: str, act: Mapping[str, Any]) -> None:
    """Silence, garbage, an error page: unreachable. The second time it answers, and has one effect."""

    async def main(service: Service) -> None:
        hold, misses = await until_verdict(service.reserve)
        assert isinstance(hold, Hold)
        done, more = await until_verdict(
            lambda: service.billing.finalize(key="f1", hold_id=hold.hold_id, amount_nanos=300, reason="r")
        )
        assert done is None
        assert misses + more == 1
        assert service.fake.statement()["alice"].settled == 300
        assert len(list(service.journal.of(BillingReserved))) == 1
        assert len(list(service.journal.of(BillingFinalized))) == 1

    with_service(main, {"match": {"op": op}, "count": 1, "do": act})


def test_our_own_key_being_wrong_is_no_verdict_and_is_not_told() -> None:
    """It is a mistake of the operator's, not a refusal of the account; no text shows the key."""

    async def main(service: Service) -> None:
        with pytest.raises(BillingUnreachable) as unreachable:
            await service.reserve()
        assert "canary-wrong" not in str(unreachable.value)
        assert "canary-wrong" not in repr(vars(unreachable.value))

    with_service(main, key="canary-wrong")


# --- against anything ----------------------------------------------------------------------------


def answering(status: int, body: bytes) -> RemoteBilling:
    async def exchange(
        method: str, url: str, headers: tuple[tuple[str, str], ...], sent: bytes
    ) -> Answer | None:
        return Answer(status, (), body)

    return RemoteBilling(exchange, url="http://billing.test", key=KEY)


def reserved_by(billing: RemoteBilling) -> Hold | Refused:
    return drive(billing.reserve(key="k", account="alice", amount_nanos=400, call_id="c", provider="rh"))


@pytest.mark.parametrize(
    "body",
    [
        {"hold_id": "h"},
        {"hold_id": "h", "amount_nanos": 399},
        {"hold_id": "h", "amount_nanos": "400"},
        {"hold_id": "h", "amount_nanos": 400.0},
        {"hold_id": "h", "amount_nanos": True},
        {"hold_id": "", "amount_nanos": 400},
        {"hold_id": 7, "amount_nanos": 400},
        {"hold_id": "a\nb", "amount_nanos": 400},
        {"hold_id": "h" * 513, "amount_nanos": 400},
        {"amount_nanos": 400},
    ],
)
def test_a_yes_that_does_not_fit_the_question_is_no_verdict(body: Mapping[str, Any]) -> None:
    """Another amount, another type, no usable id."""
    with pytest.raises(BillingUnreachable):
        reserved_by(answering(200, json.dumps(body).encode()))


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 599])
def test_other_statuses_are_no_verdict(status: int) -> None:
    """A wrong address, a rate limit, an error page of something in between."""
    with pytest.raises(BillingUnreachable):
        reserved_by(answering(status, b'{"hold_id": "h", "amount_nanos": 400}'))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (402, b"<html>", "insufficient_funds"),
        (402, b'{"error": "over_budget"}', "over_budget"),
        (402, b'{"error": ["odd"]}', "insufficient_funds"),
        (409, b"", "conflict"),
        (404, b'{"error": "account_unknown"}', "account_unknown"),
    ],
)
def test_a_no_is_known_by_its_status(status: int, body: bytes, code: str) -> None:
    """The word in the body only makes it more exact."""
    assert reserved_by(answering(status, body)) == Refused(code)


def test_rows_that_no_reserve_of_ours_made_are_skipped() -> None:
    """Others may share the service, and write what they like."""
    ours = {
        "hold_id": "h2", "key": "reserve:c", "account": "a", "call_id": "c", "amount_nanos": 1,
        "state": "open", "captured_nanos": 0, "opened_us": 5,
    }  # fmt: skip
    rows = [7, None, {}, {**ours, "call_id": None}, {**ours, "amount_nanos": -1}, ours]
    billing = answering(200, json.dumps({"holds": rows, "next": None}).encode())
    page = drive(billing.open_holds(opened_before_us=6, after=None, limit=9))
    assert [hold.hold_id for hold in page.holds] == ["h2"]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"holds": 7}', b'{"holds": [1, 2, 3], "next": null}', b'{"holds": [], "next": 7}']
)
def test_a_listing_of_no_known_form_is_no_listing(body: bytes) -> None:
    """More rows than were asked for included."""
    with pytest.raises(BillingUnreachable):
        drive(answering(200, body).open_holds(opened_before_us=6, after=None, limit=2))


@given(
    status=st.integers(min_value=100, max_value=599),
    body=st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["hold_id", "amount_nanos", "error", "applied", "x"]), inner)
        ),
        max_leaves=6,
    ).map(lambda document: json.dumps(document).encode()),
)
def test_no_answer_whatever_ends_otherwise_than_typed(status: int, body: bytes) -> None:
    """A hold of exactly what was asked, a refusal, or no verdict: nothing else comes out."""
    billing = answering(status, body)
    try:
        said = reserved_by(billing)
    except BillingUnreachable:
        return
    assert isinstance(said, Refused) or (said.amount_nanos, said.call_id) == (400, "c")
    try:
        drive(billing.finalize(key="f", hold_id="h", amount_nanos=1, reason="r" * 10_000))
    except BillingUnreachable:
        return
