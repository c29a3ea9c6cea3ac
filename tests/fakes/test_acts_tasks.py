"""Every act on a task: what polls show, and what the journal holds to be true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.acts.play import Category
from fakes.acts.vocabulary import ProviderDo
from fakes.journal import Answered, TaskAccepted, TaskEnded, TaskRejected
from fakes.wire import Answer
from tests.fakes.stage import Stage, document, with_provider

SUBMIT = "/openapi/v2/model/text-to-video"
QUERY = "/openapi/v2/query"


async def submit(stage: Stage, nonce: str = "n", **more: Any) -> str:
    answer = await stage.call("POST", SUBMIT, {"nonce": nonce}, **more)
    task_id = document(answer)["taskId"]
    assert isinstance(task_id, str)
    return task_id


async def poll(stage: Stage, task_id: str, at: float) -> Answer:
    await stage.until(at)
    return await stage.call("POST", QUERY, {"taskId": task_id})


def statuses(
    *times: float, acts: list[dict[str, Any]], plan: dict[str, Any] | None = None
) -> tuple[list[str], Stage]:
    """The status words one task shows at these times (a status that is not 200 as its number)."""

    async def main(stage: Stage) -> tuple[list[str], Stage]:
        task_id = await submit(stage)
        answers = [await poll(stage, task_id, at) for at in times]
        stage.provider.settle()
        words = [document(a)["status"] if a.status == 200 else str(a.status) for a in answers]
        return words, stage

    return with_provider(main, acts=acts, plan=plan)


def shown(stage: Stage) -> list[str | None]:
    return [fact.shown for fact in stage.facts(Answered)][1:]


def ends(stage: Stage) -> list[tuple[int, bool, int]]:
    return [(fact.t_us, fact.success, fact.cost_nanos) for fact in stage.facts(TaskEnded)]


def test_a_failed_task_is_free_unless_it_is_billed() -> None:
    """`billed` is for vendors that charge for a failure."""
    words, stage = statuses(21, acts=[{"do": {"task_fails": {"reason": "sensitive_output"}}}])
    assert (words, shown(stage)) == (["FAILED"], ["failure"])
    assert ends(stage) == [(20_000_000, False, 0)]
    assert stage.facts(TaskEnded)[0].units == "0"
    _, stage = statuses(21, acts=[{"do": {"task_fails": {"billed": True}}}])
    assert ends(stage) == [(20_000_000, False, 250_000_000)]


def test_a_task_takes_as_long_as_it_is_told() -> None:
    """Queued, running, ended: each at its instant."""
    takes = {"task_takes": {"takes": "1m", "queued": "10s"}}
    words, stage = statuses(9.999, 10, 69.999, 70, acts=[{"do": takes}])
    assert words == ["QUEUED", "RUNNING", "RUNNING", "SUCCESS"]
    assert ends(stage) == [(70_000_000, True, 250_000_000)]


def test_the_time_a_task_takes_may_be_drawn() -> None:
    """Within its bounds, and by the nonce: not by who came before."""

    def ends_of(*nonces: str) -> dict[str | None, int]:
        async def main(stage: Stage) -> dict[str | None, int]:
            for nonce in nonces:
                await submit(stage, nonce)
            stage.provider.settle(10**9)
            nonce_of = {fact.task_id: fact.nonce for fact in stage.facts(TaskAccepted)}
            return {nonce_of[fact.task_id]: fact.t_us for fact in stage.facts(TaskEnded)}

        takes = {"task_takes": {"takes": "10s", "jitter": "10s"}}
        return with_provider(main, acts=[{"do": takes}])

    both = ends_of("a", "b")
    assert all(10_000_000 <= t < 20_000_000 and t % 1_000 == 0 for t in both.values())
    assert both == ends_of("b", "a")
    assert both["a"] != both["b"]


def test_a_task_that_never_ends_runs_for_ever_and_costs_nothing() -> None:
    """A day later it is still running."""
    words, stage = statuses(86_400, acts=[{"do": {"task_never_ends": {}}}])
    assert (words, ends(stage)) == (["RUNNING"], [])


def test_a_success_may_come_without_its_output() -> None:
    """Billed, and no address to fetch."""

    async def main(stage: Stage) -> None:
        answer = await poll(stage, await submit(stage), 20)
        assert document(answer)["status"] == "SUCCESS"
        assert document(answer)["results"] is None
        assert ends(stage) == [(20_000_000, True, 250_000_000)]

    with_provider(main, acts=[{"do": {"task_without_output": {}}}])


def test_a_failure_may_come_under_the_word_for_success() -> None:
    """The error beside the word is the truth: nothing is billed."""

    async def main(stage: Stage) -> None:
        answer = await poll(stage, await submit(stage), 20)
        assert document(answer)["status"] == "SUCCESS"
        assert document(answer)["errorCode"] == "805"
        assert document(answer)["usage"] is None
        assert shown(stage) == ["error"]
        assert ends(stage) == [(20_000_000, False, 0)]

    with_provider(main, acts=[{"do": {"task_ends_with_error": {}}}])


def test_the_true_units_of_a_task_may_be_its_own() -> None:
    """Units and cost are exact decimals."""

    async def main(stage: Stage) -> None:
        answer = await poll(stage, await submit(stage), 20)
        assert document(answer)["usage"]["thirdPartyConsumeMoney"] == "1.234567891"
        [end] = stage.facts(TaskEnded)
        assert (end.units, end.cost_nanos, end.usage_shown) == ("1.234567891", 1_234_567_891, "1.234567891")

    with_provider(main, acts=[{"do": {"task_costs": {"units": "1.234567891"}}}])


def test_units_without_an_exact_cost_are_refused_at_the_start() -> None:
    """Not in the middle of a run."""

    async def main(stage: Stage) -> None: ...

    with pytest.raises(ValueError, match="no whole number"):
        with_provider(main, acts=[{"do": {"task_costs": {"units": "0.0000000001"}}}])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("exact", '"0.25"'),
        ("null", "null"),
        ("zero", '"0"'),
        ("negative", '"-0.25"'),
        ("nan", '"NaN"'),
        ("infinite", '"Infinity"'),
        ("huge", '"1e308"'),
        ("overflow", '"18446744073709551616"'),
        ("text", '"a lot"'),
        ("empty", '""'),
        ("other_type", "0.25"),
    ],
)
def test_usage_shows_what_the_act_says_and_the_truth_stays(kind: str, text: str) -> None:
    """The journal has both: what was shown, and what it cost."""

    async def main(stage: Stage) -> None:
        answer = await poll(stage, await submit(stage), 20)
        assert f'"usage":{{"thirdPartyConsumeMoney":{text},' in answer.body.decode()
        [end] = stage.facts(TaskEnded)
        assert end.usage_shown == (None if text == "null" else text.strip('"'))
        assert stage.facts(Answered)[-1].usage_shown == end.usage_shown
        assert (end.units, end.cost_nanos) == ("0.25", 250_000_000)

    with_provider(main, acts=[{"do": {"usage": {"shown": kind}}}])


def test_usage_may_be_missing_alone_or_with_all_around_it() -> None:
    """The field is not there, or the object that held it is null."""

    async def main(stage: Stage) -> Any:
        answer = await poll(stage, await submit(stage), 20)
        assert stage.facts(TaskEnded)[0].usage_shown is None
        return document(answer)["usage"]

    alone = with_provider(main, acts=[{"do": {"usage": {"shown": "missing"}}}])
    assert "thirdPartyConsumeMoney" not in alone and "consumeCoins" in alone
    assert with_provider(main, acts=[{"do": {"usage": {"shown": "container_null"}}}]) is None


def test_usage_may_show_any_given_text() -> None:
    """Where a number is the vendor's way, text that is a number is written as one."""

    async def main(stage: Stage) -> str:
        task_id = document(await stage.call("POST", "/v1/predictions", {"input": {}}))["id"]
        await stage.until(20)
        return (await stage.call("GET", f"/v1/predictions/{task_id}")).body.decode()

    def body(value: str) -> str:
        acts = [{"do": {"usage": {"shown": "value", "value": value}}}]
        return with_provider(main, "replicate", acts=acts)

    assert '"predict_time":7.50,' in body("7.50")
    assert '"predict_time":"007",' in body("007")


def test_just_after_the_submit_a_task_may_not_be_found() -> None:
    """A poll in the first five seconds is told that there is no such task."""
    acts = [{"do": {"not_found_yet": {"for": "5s"}}}]
    words, stage = statuses(0, 4.999, 5, acts=acts)
    assert words == ["404", "404", "RUNNING"]
    assert shown(stage) == [None, None, "other"]


def test_a_young_task_may_be_missing_from_lists() -> None:
    """A look-up by the caller's own name finds nothing at first."""

    async def main(stage: Stage) -> list[int]:
        await stage.call("POST", "/v1/videos/text2video", {"nonce": "n", "external_task_id": "mine"})
        found = []
        for at in (0, 4.999, 5):
            await stage.until(at)
            answer = await stage.call("GET", "/v1/videos/text2video?external_task_id=mine")
            found.append(len(document(answer)["data"]))
        return found

    acts = [{"match": {"op": "find"}, "do": {"not_found_yet": {"for": "5s"}}}]
    assert with_provider(main, "kling", acts=acts) == [0, 0, 1]


def test_an_ended_task_may_expire() -> None:
    """A poll an hour after the end finds nothing any more; what was billed stays billed."""
    acts = [{"do": {"expired": {"after": "1h"}}}]
    words, stage = statuses(20, 3619.999, 3620, acts=acts)
    assert words == ["SUCCESS", "SUCCESS", "404"]
    assert ends(stage) == [(20_000_000, True, 250_000_000)]
    never = [{"do": {"task_never_ends": {}}}, *acts]
    assert statuses(9_999, acts=never)[0] == ["RUNNING"]


def test_a_status_may_go_backwards() -> None:
    """Running as queued, ended as running; a queued task has nowhere to go."""
    acts: list[dict[str, Any]] = [{"do": {"status_goes_backwards": {}}}]
    words, stage = statuses(0, 1, 30, acts=acts, plan={"queued": "1s"})
    assert words == ["QUEUED", "QUEUED", "RUNNING"]
    assert len(stage.played()) == 2


def test_success_may_be_followed_by_running_again() -> None:
    """The second poll after the end takes back what the first said."""
    acts = [{"match": {"stage": "ended"}, "skip": 1, "count": 1, "do": {"status_goes_backwards": {}}}]
    assert statuses(20, 21, 22, acts=acts)[0] == ["SUCCESS", "RUNNING", "SUCCESS"]


def test_an_unknown_status_word_is_neither_success_nor_failure() -> None:
    """Whatever the task really is."""
    words, stage = statuses(1, 21, acts=[{"do": {"unknown_status": {"word": "MELTING"}}}])
    assert (words, shown(stage)) == (["MELTING", "MELTING"], ["other", "other"])
    assert ends(stage) == [(20_000_000, True, 250_000_000)]


@pytest.mark.parametrize(
    ("outcome", "words"), [("success", ["SUCCESS", "FAILED"]), ("failed", ["FAILED", "SUCCESS"])]
)
def test_terminal_polls_may_disagree(outcome: str, words: list[str]) -> None:
    """The first poll tells the truth and the second its opposite, in both directions."""
    acts = [{"skip": 1, "do": {"disagreeing": {}}}]
    seen, stage = statuses(20, 21, acts=acts, plan={"outcome": outcome})
    assert seen == words
    assert [success for _, success, _ in ends(stage)] == [outcome == "success"]


def test_the_lie_may_come_first() -> None:
    """FAILED on the first poll after the end, SUCCESS on the next."""
    words, stage = statuses(20, 21, acts=[{"count": 1, "do": {"disagreeing": {}}}])
    assert (words, shown(stage)) == (["FAILED", "SUCCESS"], ["failure", "success"])


def test_a_poll_of_a_running_task_cannot_disagree() -> None:
    """There is no verdict to turn round: the act keeps its count."""
    words, _ = statuses(1, 20, 21, acts=[{"count": 1, "do": {"disagreeing": {}}}])
    assert words == ["RUNNING", "FAILED", "SUCCESS"]


def test_a_submit_may_be_accepted_twice() -> None:
    """One request, two tasks, two bills; the client learns of the first."""

    async def main(stage: Stage) -> None:
        task_id = await submit(stage)
        stage.provider.settle(10**9)
        accepted = stage.facts(TaskAccepted)
        assert [fact.seq for fact in accepted] == [1, 1]
        assert accepted[0].task_id == task_id != accepted[1].task_id
        assert len(ends(stage)) == 2

    with_provider(main, acts=[{"do": {"accepted_twice": {}}}])


def test_two_submits_may_get_one_task_id() -> None:
    """Both run and both are billed; the request that began each tells them apart."""

    async def main(stage: Stage) -> None:
        first = await submit(stage, "a")
        await stage.until(5)
        assert await submit(stage, "b") == first
        stage.provider.settle(10**9)
        assert [(fact.seq, fact.t_us) for fact in stage.facts(TaskEnded)] == [
            (1, 20_000_000),
            (2, 25_000_000),
        ]
        answer = await poll(stage, first, 21)
        assert document(answer)["status"] == "RUNNING"

    with_provider(main, acts=[{"match": {"nonce": "b"}, "do": {"same_task_id": {}}}])


def test_the_first_task_has_no_id_to_share() -> None:
    """The act is noted as not applied."""

    async def main(stage: Stage) -> None:
        await submit(stage)
        assert stage.played() == [("same_task_id", False)]

    with_provider(main, acts=[{"do": {"same_task_id": {}}}])


KEY = (("idempotency-key", "k"),)


def test_by_default_an_idempotency_key_is_ignored() -> None:
    """As with every vendor whose documents name none: a new task each time."""

    async def main(stage: Stage) -> None:
        first = await submit(stage, headers=KEY)
        assert await submit(stage, headers=KEY) != first
        assert [fact.key for fact in stage.facts(TaskAccepted)] == ["k", "k"]

    with_provider(main)


def test_an_honoured_key_gives_the_first_task_and_the_first_answer() -> None:
    """Byte for byte, even when the task has ended; another body under the key is refused."""

    async def main(stage: Stage) -> None:
        first = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        await stage.until(30)
        again = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        assert again.body == first.body
        other = await stage.call("POST", SUBMIT, {"nonce": "n", "prompt": "other"}, headers=KEY)
        assert other.status == 409
        assert len(stage.facts(TaskAccepted)) == 1
        assert [fact.reason for fact in stage.facts(TaskRejected)] == ["key_reused"]

    with_provider(main, plan={"idempotency": "honoured"})


def test_an_act_may_change_how_keys_are_treated() -> None:
    """Conflict instead of what the plan says."""

    async def main(stage: Stage) -> None:
        await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        again = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        assert again.status == 409
        assert [fact.reason for fact in stage.facts(TaskRejected)] == ["conflict"]
        assert stage.played() == [("idempotency", True)]

    with_provider(main, acts=[{"do": {"idempotency": {"mode": "conflict"}}}])


def test_a_lost_answer_can_be_had_again_under_an_honoured_key() -> None:
    """That is what a key is for."""

    async def main(stage: Stage) -> None:
        first = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        assert first.status == 504
        again = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=KEY)
        [accepted] = stage.facts(TaskAccepted)
        assert document(again)["taskId"] == accepted.task_id

    acts = [{"count": 1, "do": {"accepted_and_lost": {"how": "error"}}}]
    with_provider(main, acts=acts, plan={"idempotency": "honoured"})


def test_every_act_on_tasks_is_tried_here() -> None:
    """A new act without a test is not done."""
    text = Path(__file__).read_text()
    kinds = {name: _play(field) for name, field in ProviderDo.model_fields.items()}
    on_tasks = [
        name for name, kind in kinds.items() if kind.category in (Category.TASK, Category.VIEW, Category.KEY)
    ]
    assert [name for name in on_tasks if f'"{name}"' not in text] == []


def _play(field: Any) -> Any:
    return next(kind for kind in field.annotation.__args__ if kind is not type(None))
