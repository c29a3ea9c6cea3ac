"""Every act of the billing service: what is seen, what was applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.acts.vocabulary import BillingDo
from fakes.journal import Answered, BillingFinalized, BillingRefused, BillingReserved
from fakes.wire import Answer, ProtocolBroken, ReadFailed, ReadTimeout, WireError
from tests.fakes.stage import Stage, document, with_billing


async def reserve(stage: Stage, key: str = "k1") -> Answer:
    body = {"key": key, "account": "alice", "amount_nanos": 400, "call_id": "c1", "provider": "rh"}
    return await stage.call("POST", "/reserve", body, timeout_us=1_000_000)


async def finalize(stage: Stage) -> Answer:
    body = {"key": "f1", "hold_id": "hold-00000001", "amount_nanos": 300, "reason": "success"}
    return await stage.call("POST", "/finalize", body, timeout_us=1_000_000)


@pytest.mark.parametrize(
    ("do", "status", "body"),
    [
        ({"down": {}}, 503, {"error": "unavailable"}),
        ({"refuse": {}}, 402, {"error": "insufficient_funds"}),
        ({"error": {"status": 500}}, 500, {"error": "internal"}),
        ({"error": {"status": 404}}, 404, {"error": "not_found"}),
        ({"error": {"status": 400}}, 400, {"error": "bad_request"}),
        ({"error": {"status": 429, "code": "slow_down"}}, 429, {"error": "slow_down"}),
        ({"odd_body": {"kind": "list"}}, 200, []),
    ],
)
def test_an_answer_instead_of_the_change(do: dict[str, Any], status: int, body: object) -> None:
    """Nothing is reserved, and the journal names the act as the reason."""

    async def main(stage: Stage) -> None:
        answer = await reserve(stage)
        assert (answer.status, document(answer)) == (status, body)
        assert stage.facts(BillingReserved) == []
        assert [fact.why for fact in stage.facts(BillingRefused)] == [f"act:{next(iter(do))}"]
        assert stage.billing.statement()["alice"].held == 0

    with_billing(main, acts=[{"do": do}])


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("drop", ProtocolBroken),
        ("reset", ReadFailed),
        ("garbage", ProtocolBroken),
        ("never_answers", ReadTimeout),
    ],
)
def test_a_connection_without_an_answer_and_without_a_change(act: str, error: type[WireError]) -> None:
    """The client cannot tell this from a change whose answer was lost: the key can."""

    async def main(stage: Stage) -> None:
        with pytest.raises(error):
            await reserve(stage)
        assert stage.facts(BillingReserved) == []
        assert (await reserve(stage)).status == 200

    with_billing(main, acts=[{"count": 1, "do": {act: {}}}])


@pytest.mark.parametrize(
    ("how", "error"),
    [("reset", ReadFailed), ("close", ProtocolBroken), ("never_answers", ReadTimeout), ("error", None)],
)
def test_a_change_applied_whose_answer_is_lost(how: str, error: type[WireError] | None) -> None:
    """Asked again under its key, it is told and not done again: reserve and finalize alike."""

    async def main(stage: Stage) -> None:
        for change in (reserve, finalize):
            if error is None:
                assert (await change(stage)).status == 504
            else:
                with pytest.raises(error):
                    await change(stage)
            assert (await change(stage)).status == 200
        assert len(stage.facts(BillingReserved)) == len(stage.facts(BillingFinalized)) == 1
        balance = stage.billing.statement()["alice"]
        assert (balance.available, balance.held, balance.settled) == (700, 0, 300)

    acts = [{"count": 1, "per": "identity", "do": {"applied_but_answer_lost": {"how": how}}}]
    with_billing(main, acts=acts)


def test_an_answer_cut_in_its_body() -> None:
    """The change stands."""

    async def main(stage: Stage) -> None:
        with pytest.raises(ProtocolBroken):
            await reserve(stage)
        assert len(stage.facts(BillingReserved)) == 1
        assert stage.facts(Answered)[0].body_bytes == 5

    with_billing(main, acts=[{"do": {"cut": {"after_bytes": 5}}}])


def test_a_slow_service_applies_at_once_and_answers_late() -> None:
    """A client that stopped waiting does not undo it."""

    async def main(stage: Stage) -> None:
        with pytest.raises(ReadTimeout):
            await reserve(stage)
        await stage.until(2)
        assert [fact.t_us for fact in stage.facts(BillingReserved)] == [0]
        assert stage.facts(Answered)[0].ended_by == "client"

    with_billing(main, acts=[{"do": {"latency": {"by": "5s"}}}])


def test_acts_meet_the_account_the_key_and_the_operation_they_name() -> None:
    """Others are served."""

    async def main(stage: Stage) -> None:
        assert (await reserve(stage, "k1")).status == 200
        assert (await reserve(stage, "k2")).status == 503
        assert (await finalize(stage)).status == 402
        assert (await stage.call("GET", "/holds?key=k1")).status == 500

    acts = [
        {"match": {"op": "reserve", "account": "alice", "key": "k2"}, "do": {"down": {}}},
        {"match": {"account": "bob"}, "do": {"down": {}}},
        {"match": {"op": "look_up"}, "do": {"error": {"status": 500}}},
        {"match": {"op": "finalize"}, "do": {"error": {"status": 402}}},
    ]
    with_billing(main, acts=acts)


def test_an_outage_has_a_window() -> None:
    """From its start until its end."""

    async def main(stage: Stage) -> list[int]:
        statuses = []
        for at in (0, 10, 19.999, 20):
            await stage.until(at)
            statuses.append((await reserve(stage)).status)
        return statuses

    acts = [{"from": "10s", "until": "20s", "do": {"down": {"retry_after": "5s"}}}]
    assert with_billing(main, acts=acts) == [200, 503, 503, 200]


def test_a_calm_service_behaves() -> None:
    """Its script is over."""

    async def main(stage: Stage) -> None:
        assert (await reserve(stage)).status == 503
        stage.billing.calm()
        assert (await reserve(stage)).status == 200

    with_billing(main, acts=[{"do": {"down": {}}}])


def test_every_act_of_billing_is_tried_here() -> None:
    """A new act without a test is not done."""
    text = Path(__file__).read_text()
    assert [name for name in BillingDo.model_fields if f'"{name}"' not in text] == []
