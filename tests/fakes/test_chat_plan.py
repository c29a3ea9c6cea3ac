"""What a provider of models costs, how fast it is and how much it takes, when no act says otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.chat import ChatProvider
from fakes.chat.dialects import dialects_named
from fakes.journal import ChatAccepted, ChatEnded, ChatRefused, Journal
from tests.fakes.chat_stage import PATHS, ChatStage, chat_body, with_chat

PATH = PATHS["openai"]
PLAN = {"words": 4, "first": "100ms", "between": "10ms", "prompt": 10}


# --- limits ---------------------------------------------------------------------------------------


def test_a_bucket_of_requests_refills_evenly() -> None:
    """Two at once, then one every half minute; the wait that is told is the wait that helps."""

    async def main(stage: ChatStage) -> list[tuple[int, str | None]]:
        seen = []
        for wait_s in (0, 0, 0, 29.9, 0.1):
            await asyncio.sleep(wait_s)
            answer = await stage.call(PATH, chat_body())
            seen.append((answer.status, answer.header("retry-after-ms")))
        assert [fact.reason for fact in stage.facts(ChatRefused)] == ["rate", "rate"]
        return seen

    plan = PLAN | {"limits": {"rpm": 2}, "first": "0s", "between": "0s"}
    assert with_chat(main, plan=plan) == [
        (200, None),
        (200, None),
        (429, "30000"),
        (429, "100"),
        (200, None),
    ]


def test_a_bucket_of_tokens_is_named_in_the_refusal() -> None:
    """Prompt and answer count; a request that is refused takes nothing."""

    async def main(stage: ChatStage) -> None:
        assert (await stage.call(PATH, chat_body())).status == 200  # takes 15 of 20
        refused = await stage.call(PATH, chat_body())
        assert refused.status == 429 and b'"type":"tokens"' in refused.body
        assert refused.header("x-ratelimit-remaining-tokens") == "5"
        assert refused.header("retry-after") == "30"

    with_chat(main, plan=PLAN | {"limits": {"tpm": 20}, "first": "0s", "between": "0s"})


def test_a_model_may_have_limits_of_its_own() -> None:
    """Its requests take from its own buckets, the others' from the provider's."""

    async def main(stage: ChatStage) -> list[int]:
        names = ["small", "small", "other", "other"]
        return [(await stage.call(PATH, chat_body() | {"model": name})).status for name in names]

    models = {"small": {"limits": {"rpm": 1}}, "*": {}}
    assert with_chat(main, plan=PLAN | {"models": models}) == [200, 429, 200, 200]


def test_a_seeded_bucket_begins_anywhere() -> None:
    """The same for the same seed, another for another."""

    async def main(stage: ChatStage) -> str | None:
        return (await stage.call(PATH, chat_body())).header("x-ratelimit-remaining-requests")

    plan = PLAN | {"limits": {"rpm": 1_000, "start": "seeded"}}
    levels = [with_chat(main, plan=plan, seed=seed) for seed in (1, 1, 2)]
    assert levels[0] == levels[1] != levels[2]


# --- time -----------------------------------------------------------------------------------------


def test_reasoning_takes_its_time_before_the_first_word() -> None:
    """Though nobody sees it."""

    async def main(stage: ChatStage) -> list[int]:
        heard = await stage.listen(PATH, chat_body(stream=True))
        return [at_us for at_us, _ in heard.chunks]

    assert with_chat(main, plan=PLAN | {"reasoning": 3})[:2] == [120_000, 130_000]


def test_the_status_line_may_come_before_the_first_token() -> None:
    """Where the plan says when."""

    async def main(stage: ChatStage) -> tuple[int, int]:
        async with stage.client.stream(
            "POST",
            f"http://p.test{PATH}",
            headers=(("authorization", "Bearer canary-provider-p"),),
            body=b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}',
        ) as answer:
            began_us = stage.now_us
            async for _ in answer.chunks():
                return began_us, stage.now_us
        raise AssertionError("no chunk came")

    assert with_chat(main, plan=PLAN | {"headers": "40ms"}) == (40_000, 100_000)


def test_everything_is_slower_under_load() -> None:
    """In proportion to what is in progress, up to the full load."""

    async def main(stage: ChatStage) -> list[int]:
        async def one() -> int:
            return (await stage.listen(PATH, chat_body(stream=True))).ended_us

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(4)]
        assert [fact.running for fact in stage.facts(ChatAccepted)] == [0, 1, 2, 3]
        assert stage.provider.running == 0
        return [task.result() for task in tasks]

    plan = PLAN | {"load_factor": "3", "load_full": 2}
    assert with_chat(main, plan=plan) == [140_000, 280_000, 420_000, 420_000]


def test_jitter_is_drawn_from_the_seed_for_each_request() -> None:
    """Within its bounds, on a grid of a millisecond."""

    async def main(stage: ChatStage) -> list[int]:
        return [(await stage.listen(PATH, chat_body(stream=True))).chunks[0][0] for _ in range(3)]

    plan = PLAN | {"first_jitter": "50ms", "between": "0s"}
    times = [with_chat(main, plan=plan, seed=seed) for seed in (1, 1, 2)]
    assert times[0] == times[1] != times[2]
    assert all(100_000 <= times[0][0] <= 150_000 and at_us % 1_000 == 0 for at_us in times[0])


def test_several_words_may_go_into_one_event() -> None:
    """Each event comes with its last word."""

    async def main(stage: ChatStage) -> list[int]:
        heard = await stage.listen(PATH, chat_body(stream=True))
        return [at_us for at_us, _ in heard.chunks]

    assert with_chat(main, plan=PLAN | {"words_per_event": 2}) == [100_000, 110_000, 130_000, 140_000]


# --- who leaves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "output", "ended_us"), [("stops", 2, 110_000), ("runs_on", 5, 140_000)])
def test_a_client_that_leaves_a_stream(policy: str, output: int, ended_us: int) -> None:
    """The work stops and what was made is billed, or it runs on and all of it is."""

    async def main(stage: ChatStage) -> None:
        await stage.listen(PATH, chat_body(stream=True), leave_after=2)
        await asyncio.sleep(1)
        ended = stage.ended
        assert (ended.output_text, ended.t_us, ended.delivered, ended.complete) == (
            output,
            ended_us,
            2,
            False,
        )
        assert ended.cost_nanos == 10_000 + 4_000 * output
        assert stage.answered.ended_by == "client" and stage.provider.running == 0

    with_chat(main, plan=PLAN | {"left_stream": policy})


@pytest.mark.parametrize(("policy", "output"), [("stops", 0), ("runs_on", 5)])
def test_a_client_that_leaves_before_an_answer_in_one_piece(policy: str, output: int) -> None:
    """By default that work is done and billed to its end."""

    async def main(stage: ChatStage) -> None:
        heard = await stage.listen(PATH, chat_body(), timeout_us=50_000)
        assert heard.error is not None
        await asyncio.sleep(1)
        assert (stage.ended.output_text, stage.ended.complete) == (output, False)

    with_chat(main, plan=PLAN | {"left_whole": policy})


def test_a_client_that_leaves_before_the_work_begins() -> None:
    """The work begins all the same, is seen to have nobody to tell, and stops."""

    async def main(stage: ChatStage) -> None:
        await stage.listen(PATH, chat_body(stream=True), timeout_us=50_000)
        await asyncio.sleep(5)
        assert (stage.ended.output_text, stage.ended.t_us) == (0, 1_000_000)

    act = {"do": {"latency": {"by": "1s", "when": "work"}}}
    with_chat(main, plan=PLAN, acts=[act])


# --- the provider ---------------------------------------------------------------------------------


def test_every_request_ends_once_whatever_happens() -> None:
    """As many ends as were taken on, and nothing left in progress."""

    async def main(stage: ChatStage) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                body = chat_body(text=f"nonce:n{number}", stream=number % 2 == 0)
                group.create_task(stage.listen(PATH, body, timeout_us=130_000))
        await asyncio.sleep(5)
        accepted = [fact.seq for fact in stage.facts(ChatAccepted)]
        refused = [fact.seq for fact in stage.facts(ChatRefused)]
        assert sorted(accepted) == sorted(fact.seq for fact in stage.facts(ChatEnded))
        assert sorted(accepted + refused) == list(range(1, 41)) and stage.provider.running == 0

    kinds: list[Any] = [
        {"reset": {}},
        {"accepted_and_lost": {"how": "never_answers"}},
        {"cut": {"fraction": "0.3"}},
        {"error": {"status": 503}},
    ]
    acts = [{"chance": 0.2, "do": do} for do in kinds]
    acts += [
        {"chance": 0.3, "do": {"stall": {"after_words": 2}}},
        {"chance": 0.2, "do": {"latency": {"by": "50ms"}}},
    ]
    with_chat(main, plan=PLAN, acts=acts)


def test_when_the_script_is_over_the_provider_behaves() -> None:
    """`calm` ends every act."""

    async def main(stage: ChatStage) -> list[int]:
        first = (await stage.call(PATH, chat_body())).status
        stage.provider.calm()
        return [first, (await stage.call(PATH, chat_body())).status]

    assert with_chat(main, acts=[{"do": {"error": {}}}]) == [500, 200]


def test_dialects_are_named_alone_or_by_vendor() -> None:
    """Each once, in order; an unknown one is refused by name."""
    assert [dialect.name for dialect in dialects_named(["openai_chat", "openai"])].count("openai_chat") == 1
    with pytest.raises(ValueError, match="no dialect 'smoke'"):
        dialects_named("smoke")
    with pytest.raises(ValueError, match="at least one"):
        ChatProvider("p", dialects=(), journal=Journal(), clock=lambda: 0)
