"""Chat calls that go well: each protocol in, each provider out, whole and streamed, charged exactly."""

from pathlib import Path

import pytest

from tests.refgate.chat_kit import PROTOCOLS, ChatWorld, played, said


@pytest.mark.parametrize("model", ["of-east", "of-rome", "of-tokyo"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_protocol_is_served_by_every_provider(
    tmp_path: Path, protocol: str, model: str, stream: bool
) -> None:
    """The words come through, the row says who served, and the charge is what the provider billed."""

    async def story(world: ChatWorld) -> None:
        answer = await world.call(protocol, model=model, stream=stream)
        assert answer.status == 200, answer.body
        ((at, work),) = world.works()
        assert said(protocol, answer) == work.text
        row = await world.only_chat()
        assert answer.header("x-request-id") == answer.header("x-proxy-call-id") == row["call_id"]
        assert (row["state"], row["outcome"], row["status"]) == ("ended", "served", 200)
        assert (row["backend"], row["stream"]) == (at, stream)
        assert (row["usage_source"], row["flags"]) == ("reported", [])
        assert row["amount_nanos"] == work.cost_nanos > 0
        (attempt,) = await world.rows("chat_attempts")
        assert attempt["cost_nanos"] == row["amount_nanos"]
        assert attempt["failure"] is None
        (hold,) = await world.rows("holds")
        assert (hold["state"], hold["captured_nanos"]) == ("finalized", row["amount_nanos"])
        assert row["amount_nanos"] <= hold["amount_nanos"]

    played(tmp_path, story)
