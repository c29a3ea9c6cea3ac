"""What a chat costs: exact, by class, by model; and plans that would not be, refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fakes.chat import ChatPlan, ModelPlan, Prices, Tokens, cost_nanos


@pytest.mark.parametrize(
    ("prices", "tokens", "nanos"),
    [
        ({"input": "2.5", "output": "10"}, {"input_uncached": 1000, "output_text": 100}, 3_500_000),
        (
            {"input": "2.5", "output": "10", "cache_read": "1.25"},
            {"input_uncached": 400, "cache_read": 600, "output_text": 100},
            2_750_000,
        ),
        (
            {
                "input": "3",
                "output": "15",
                "cache_read": "0.3",
                "cache_write_5m": "3.75",
                "cache_write_1h": "6",
            },
            {
                "input_uncached": 100,
                "cache_read": 2000,
                "cache_write_5m": 200,
                "cache_write_1h": 300,
                "output_text": 100,
            },
            300_000 + 600_000 + 750_000 + 1_800_000 + 1_500_000,
        ),
        ({"input": "0.0005"}, {"input_uncached": 1}, 1),  # half a nano-dollar is rounded up
        ({"input": "0.000499"}, {"input_uncached": 1}, 0),
        ({"input": "0.0375"}, {"input_uncached": 3}, 113),  # 112.5: once, at the end
        ({"input": "0", "output": "0", "request": "0.01"}, {}, 10_000_000),
        ({"output": "2", "reasoning": "3"}, {"output_reasoning": 10, "output_audio": 10}, 30_000 + 20_000),
    ],
)
def test_a_bill_is_exact_and_rounded_once(prices: Any, tokens: Any, nanos: int) -> None:
    """Each class at its own price; the sum is rounded, half up."""
    assert cost_nanos(Tokens(**tokens), Prices(**prices)) == nanos


def test_a_tier_is_a_cliff_and_strictly_above() -> None:
    """The whole request at the upper rate, from one token more."""
    model = ModelPlan.model_validate(
        {"prices": {"input": "1.25"}, "tiers": [{"above": 200_000, "prices": {"input": "2.5"}}]}
    )
    assert model.prices_for(200_000).input == "1.25"
    assert model.prices_for(200_001).input == "2.5"


def test_the_model_that_served_is_the_one_whose_price_holds() -> None:
    """By exact name first, then by pattern in order."""
    plan = ChatPlan.model_validate(
        {"models": {"a-*": {"prices": {"input": "1"}}, "a-1": {"prices": {"input": "2"}}}}
    )
    assert [
        found[1].prices.input if (found := plan.model(name)) else None for name in ("a-1", "a-2", "b")
    ] == [
        "2",
        "1",
        None,
    ]


@pytest.mark.parametrize(
    "plan",
    [
        {"models": {}},
        {"load_factor": "0.5"},
        {"headers": "2s", "first": "1s"},
        {"first": 5},
        {"models": {"m": {"prices": {"input": 0.1}}}},
        {"word": 3},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan: Any) -> None:
    """Strictly: no float for money, no bare number for time, no unknown field."""
    with pytest.raises(ValidationError):
        ChatPlan.model_validate(plan)


def test_a_plan_is_written_back_as_it_was_read() -> None:
    """What is printed can be read again."""
    given = {"models": {"m": {"limits": {"rpm": 3}}}, "first": "1s", "load_factor": "2.5"}
    read = ChatPlan.model_validate(given)
    assert read.model_dump(mode="json", by_alias=True, exclude_defaults=True) == given
