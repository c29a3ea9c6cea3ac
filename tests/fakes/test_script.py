"""Which act meets which request: windows, counts, matches, precedence, and draws nobody else can move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.acts.play import Category
from fakes.acts.player import Occasion, Player
from fakes.acts.script import Script


def player(*acts: dict[str, Any], seed: int = 0) -> Player:
    return Player(Script.for_provider(acts), seed=seed, owner="p")


def occasion(
    since_us: int = 0, *, op: str = "submit", identity: str = "n", attempt: int = 1, **more: Any
) -> Occasion:
    more = {"method": "POST", "path": "/openapi/v2/x", **more}
    return Occasion(since_us=since_us, op=op, identity=identity, attempt=attempt, **more)


def answers(subject: Player, occasions: Sequence[Occasion]) -> list[str | None]:
    chosen = [subject.first(Category.ANSWER, each) for each in occasions]
    return [playing.name if playing else None for playing in chosen]


def test_a_window_includes_its_start_and_not_its_end() -> None:
    """[from, until)."""
    subject = player({"from": "1s", "until": "2s", "do": {"drop": {}}})
    times = [999_999, 1_000_000, 1_999_999, 2_000_000]
    assert answers(subject, [occasion(t) for t in times]) == [None, "drop", "drop", None]


def test_skip_lets_the_first_pass_and_count_ends_the_act() -> None:
    """Succeed once, fail twice, recover."""
    subject = player({"skip": 1, "count": 2, "do": {"error": {}}})
    assert answers(subject, [occasion()] * 5) == [None, "error", "error", None, None]


def test_counts_may_be_kept_for_each_identity() -> None:
    """The first poll of every task fails, however the polls interleave."""
    subject = player({"count": 1, "per": "identity", "do": {"error": {}}})
    order = ["a", "b", "a", "c", "b"]
    seen = answers(subject, [occasion(identity=name) for name in order])
    assert seen == ["error", "error", None, "error", None]


def test_the_first_matching_act_of_a_category_plays_and_the_others_are_not_used_up() -> None:
    """A later act with a count waits its turn."""
    subject = player({"count": 1, "do": {"drop": {}}}, {"count": 1, "do": {"reset": {}}})
    assert answers(subject, [occasion()] * 3) == ["drop", "reset", None]


def test_acts_of_several_categories_meet_one_request() -> None:
    """An answer act, a latency and headers do not exclude each other."""
    subject = player(
        {"do": {"latency": {"by": "1s"}}},
        {"do": {"set_cookie": {}}},
        {"do": {"answer_headers": {"set": {"a": "b"}}}},
        {"do": {"error": {}}},
    )
    assert subject.first(Category.DELAY, occasion()) is not None
    assert [playing.name for playing in subject.every(Category.HEADERS, occasion())] == [
        "set_cookie",
        "answer_headers",
    ]
    assert answers(subject, [occasion()]) == ["error"]


def test_of_each_kind_of_task_act_the_first_plays() -> None:
    """They compose across kinds, and a second of one kind keeps its count."""
    subject = player(
        {"count": 1, "do": {"task_takes": {"takes": "1s"}}},
        {"count": 1, "do": {"task_takes": {"takes": "2s"}}},
        {"do": {"task_without_output": {}}},
    )
    first = subject.each_kind(Category.TASK, occasion())
    second = subject.each_kind(Category.TASK, occasion())
    assert [playing.play.model_dump().get("takes") for playing in first.values()] == ["1s", None]
    assert [playing.play.model_dump().get("takes") for playing in second.values()] == ["2s", None]


@pytest.mark.parametrize(
    ("match", "met"),
    [
        ({"op": "submit"}, True),
        ({"op": "poll"}, False),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"path": "/openapi/v2/*"}, True),
        ({"path": "/v1/*"}, False),
        ({"nonce": "alice-*"}, True),
        ({"nonce": "bob-*"}, False),
        ({"key": "k?"}, True),
        ({"key": "other"}, False),
        ({"account": "alice"}, False),
        ({"stage": "running"}, True),
        ({"stage": "ended"}, False),
        ({"task": "*"}, False),
        ({"op": "submit", "nonce": "bob-*"}, False),
    ],
)
def test_a_match_asks_for_everything_it_names(match: dict[str, Any], met: bool) -> None:
    """A value that is not there matches no pattern, not even `*`."""
    subject = player({"match": match, "do": {"error": {}}})
    here = occasion(nonce="alice-1", key="k1", stage="running")
    assert answers(subject, [here]) == ["error" if met else None]


def test_ended_stands_for_every_end() -> None:
    """Success, failure and cancellation."""
    subject = player({"match": {"stage": "ended"}, "do": {"error": {}}})
    stages = ["queued", "running", "succeeded", "failed", "cancelled"]
    met = answers(subject, [occasion(op="poll", stage=stage) for stage in stages])
    assert met == [None, None, "error", "error", "error"]


@given(
    names=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_nobody_elses_requests_move_a_draw(names: list[str], seed: int) -> None:
    """The fate of a request depends on seed, identity, op and attempt: not on order, not on company."""

    def fates(order: list[str]) -> dict[tuple[str, int], bool]:
        subject = player({"chance": 0.5, "do": {"error": {}}}, seed=seed)
        met: dict[tuple[str, int], bool] = {}
        for name in order:
            attempt = subject.attempt(name, "submit")
            here = occasion(identity=name, attempt=attempt)
            met[name, attempt] = subject.first(Category.ANSWER, here) is not None
        return met

    together = fates(names)
    assert fates(sorted(names)) == together
    alone = fates([name for name in names if name == names[0]])
    assert alone.items() <= together.items()


def test_a_chance_is_what_it_says() -> None:
    """About one in four of a thousand, and not the same ones for another seed or another act."""

    def met(seed: int, index: int) -> list[int]:
        never = [{"chance": 0.0, "do": {"drop": {}}}] * index
        subject = player(*never, {"chance": 0.25, "do": {"error": {}}}, seed=seed)
        return [n for n in range(1000) if subject.first(Category.ANSWER, occasion(identity=str(n)))]

    assert 200 < len(met(0, 0)) < 300
    assert len({tuple(met(0, 0)), tuple(met(1, 0)), tuple(met(0, 1))}) == 3


def test_attempts_are_counted_for_each_identity_and_op() -> None:
    """The second submit of a nonce is its second attempt, whoever else came between."""
    subject = player({"chance": 0.5, "do": {"error": {}}})
    asked = [("a", "submit"), ("b", "submit"), ("a", "submit"), ("a", "poll")]
    assert [subject.attempt(*each) for each in asked] == [1, 1, 2, 1]


def test_a_script_can_be_ended() -> None:
    """From then on nothing plays, whatever its windows say."""
    subject = player({"do": {"error": {}}}, {"do": {"latency": {"by": "1s"}}})
    assert answers(subject, [occasion()]) == ["error"]
    subject.end()
    assert answers(subject, [occasion()]) == [None]
    assert subject.first(Category.DELAY, occasion()) is None


def test_a_script_can_be_played_twice_from_its_start() -> None:
    """Counts live in the player: the script is a value."""
    script = Script.for_provider([{"count": 1, "do": {"error": {}}}])
    for _ in range(2):
        assert answers(Player(script, seed=0, owner="p"), [occasion()] * 2) == ["error", None]
