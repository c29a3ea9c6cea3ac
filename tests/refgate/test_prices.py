"""Prices: exact, per class, cliffs at tiers, rounded once; in force by date; never a guess for a model."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.spoken import Usage
from refgate.money import BadUsage
from refgate.price_list import BadPrice, Cost, PriceList, Unpriced, parse_price_list
from refgate.prices import Price, Rates, Tier

CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "output", "output_audio")

LISTED: dict[str, Any] = {
    "gpt-4o": {"input": "2.50", "cache_read": "1.25", "output": "10"},
    "claude-sonnet-4-5": {
        "input": "3",
        "cache_read": "0.30",
        "cache_write_5m": "3.75",
        "cache_write_1h": "6",
        "output": "15",
    },
    "claude-haiku-4-5": {
        "input": "1",
        "cache_read": "0.10",
        "cache_write_5m": "1.25",
        "cache_write_1h": "2",
        "output": "5",
    },
    "gemini-2.5-pro": {
        "input": "1.25",
        "output": "10",
        "tiers": [{"above": 200_000, "input": "2.50", "output": "15"}],
    },
}
PRICES = parse_price_list(LISTED)
EDGE = (200_000, 200_001)


def nanos(model: str, usage: Usage) -> int:
    cost = PRICES.cost_nanos(model, usage, 0)
    assert isinstance(cost, Cost)
    return cost.nanos


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-4o", Usage(input=1_000, output=100), "0.0035"),
        ("gpt-4o", Usage(input=400, cache_read=600, output=100), "0.00275"),
        ("gpt-4o", Usage(input=123_400_000), "308.5"),
        ("claude-sonnet-4-5", Usage(100, 2_000, 500, output=100), "0.004275"),
        ("claude-sonnet-4-5", Usage(100, 2_000, 200, 300, output=100), "0.00495"),
        ("claude-haiku-4-5", Usage(100, 2_000, 500, output=100), "0.001425"),
        ("claude-haiku-4-5", Usage(100, 2_000, 200, 300, output=100), "0.00165"),
        ("gemini-2.5-pro", Usage(input=200_000, output=100), "0.251"),
        ("gemini-2.5-pro", Usage(input=200_001, output=100), "0.5015025"),
    ],
)
def test_worked_examples(model: str, usage: Usage, dollars: str) -> None:
    """Figures that others worked out for the same prices."""
    assert nanos(model, usage) == Decimal(dollars) * 10**9


def test_all_that_went_in_counts_towards_a_tier() -> None:
    """Cached tokens too: it is the size of the request that matters."""
    assert nanos("gemini-2.5-pro", Usage(input=1, cache_read=200_000)) == 200_001 * 2_500


def test_it_is_rounded_once_and_half_up() -> None:
    """Half a nano-dollar is one; two halves are one and not two."""
    price = Price(Rates(input=Decimal("0.0005"), output=Decimal("0.0005")))
    assert [price.cost_nanos(usage) for usage in (Usage(input=1), Usage(input=1, output=1))] == [1, 1]
    assert Price(Rates(input=Decimal("0.000499"), output=Decimal(0))).cost_nanos(Usage(input=1)) == 0


def test_a_class_without_a_price_costs_what_it_is_part_of() -> None:
    """Reasoning as output, an hour's writes as short ones, sound as text."""
    price = Price(Rates(input=Decimal(1), cache_write_5m=Decimal(2), output=Decimal(4)))
    usage = Usage(10, 10, 10, 10, 10, output=10, output_audio=10, reasoning=7)
    assert price.cost_nanos(usage) == 1_000 * (10 + 10 + 20 + 20 + 10 + 40 + 40)


def test_reasoning_with_its_own_price_is_not_paid_twice() -> None:
    """It is the part of the output that was thought."""
    price = Price(Rates(input=Decimal(1), output=Decimal(4), reasoning=Decimal(3)))
    assert price.cost_nanos(Usage(output=10, reasoning=7)) == 1_000 * (3 * 4 + 7 * 3)


def test_fees_come_on_top() -> None:
    """For the call, and for each search."""
    price = Price(Rates(input=Decimal(1), output=Decimal(1)), (), Decimal("0.005"), Decimal("0.01"))
    assert price.cost_nanos(Usage(input=1, web_searches=2)) == 1_000 + 5_000_000 + 20_000_000
    assert price.hold_nanos(input_tokens=1, output_tokens=0, web_searches=2) == 25_001_000


def test_a_tier_leaves_as_it_is_what_it_does_not_name() -> None:
    """And a class that is priced as its parent follows the parent."""
    tiers = (Tier(10, Rates(input=Decimal(5))), Tier(20, Rates(output=Decimal(7))))
    price = Price(Rates(input=Decimal(1), cache_read=Decimal("0.5"), output=Decimal(2)), tiers)
    usage = Usage(input=10, cache_read=10, cache_write_5m=10, output=10)
    assert price.cost_nanos(usage) == 1_000 * (50 + 5 + 50 + 70)


def test_a_hold_knows_the_cliff() -> None:
    """At the edge it is not yet the tier's price, one token above it is."""
    below, above = (PRICES.hold_nanos("gemini-2.5-pro", 0, input_tokens=n, output_tokens=100) for n in EDGE)
    assert (below, above) == (Cost(251_000_000, 0), Cost(501_502_500, 0))


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (Usage(input=-1), "negative"),
        (Usage(web_searches=-1), "negative"),
        (Usage(output=1, reasoning=2), "details_above_completion"),
        (Usage(output=10**20), "too_large"),
    ],
)
def test_hostile_counts_are_no_amount(usage: Usage, reason: str) -> None:
    """They neither lower a charge nor raise it beyond bounds."""
    with pytest.raises(BadUsage, match=reason):
        nanos("gpt-4o", usage)


def test_a_hold_of_hostile_size_is_no_amount() -> None:
    """Nor does one below zero open the door."""
    price = PRICES.price("gpt-4o", 0)
    assert not isinstance(price, Unpriced)
    for tokens, reason in ((-1, "negative"), (10**20, "too_large")):
        with pytest.raises(BadUsage, match=reason):
            price[1].hold_nanos(input_tokens=0, output_tokens=tokens)


def test_the_price_in_force_is_the_one_that_counts() -> None:
    """To the microsecond; and the row can say which it was."""
    begins = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
    prices = parse_price_list(
        {
            "m": [
                {"from": "2026-01-01", "input": 1, "output": 1},
                {"from": date(2026, 6, 1), "input": 2, "output": 2},
            ]
        }
    )
    earlier, later = (prices.cost_nanos("m", Usage(input=1), at) for at in (begins - 1, begins))
    assert isinstance(earlier, Cost) and earlier.nanos == 1_000
    assert later == Cost(2_000, begins)
    assert prices.cost_nanos("m", Usage(input=1), 0) == Unpriced("m", "not_yet")


def test_a_hold_is_for_every_price_that_may_hold() -> None:
    """A price that begins while the call goes on counts, the dearest of them, and none that comes after."""
    first, second = 1_000_000, 2_000_000
    prices = parse_price_list(
        {
            "m": [
                {"input": 1, "output": 1},
                {"from": "1970-01-01T00:00:01", "input": 3, "output": 3},
                {"from": "1970-01-01T00:00:02", "input": 2, "output": 2},
            ],
            "later": [{"from": "1970-01-01T00:00:01", "input": 1, "output": 1}],
        }
    )

    def held(model: str, at_us: int, until_us: int) -> Cost | Unpriced:
        return prices.hold_nanos(model, at_us, until_us=until_us, input_tokens=1, output_tokens=0)

    assert held("m", 0, first) == Cost(1_000, 0)
    assert held("m", 0, first + 1) == held("m", 0, second + 1) == Cost(3_000, first)
    assert held("m", second, second) == Cost(2_000, second)
    assert held("later", 0, first) == Unpriced("later", "not_yet")
    assert held("later", 0, second) == Cost(1_000, first)


def test_an_instant_may_name_its_zone() -> None:
    """Midnight in one place is not midnight in another."""
    prices = parse_price_list({"m": {"from": "1970-01-01T02:00:00+01:00", "input": 1, "output": 1}})
    assert prices.models["m"][0][0] == 3_600_000_000


def test_a_model_without_a_price_is_said_to_be_so() -> None:
    """Neither free nor an exception: what is done about it is declared elsewhere."""
    unpriced = Unpriced("nobody", "unknown_model")
    assert PRICES.cost_nanos("nobody", Usage(input=1), 0) == unpriced
    assert PRICES.hold_nanos("nobody", 0, input_tokens=1, output_tokens=1) == unpriced


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "prices: a mapping"),
        ({"m": []}, "m: one price or more"),
        ({"m": 3}, r"m\[0\]: a mapping"),
        ({"m": {"input": "1"}}, r"m\[0\]: a price names input and output"),
        ({"m": {"input": 0.5, "output": "1"}}, r"m\[0\].input: a float is not exact"),
        ({"m": {"input": "-1", "output": "1"}}, r"m\[0\].input: negative"),
        ({"m": {"input": "1", "output": "1", "reques": 1}}, r"m\[0\]: unknown reques"),
        ({"m": {"input": "1", "output": "1", "request": "x"}}, r"m\[0\].request: not a number"),
        ({"m": {"input": "1", "output": "1", "from": "soon"}}, r"m\[0\].from: a day"),
        ({"m": {"input": "1", "output": "1", "from": 5}}, r"m\[0\].from: a day"),
        ({"m": {"input": "1", "output": "1", "tiers": {}}}, r"m\[0\].tiers: a list"),
        ({"m": {"input": "1", "output": "1", "tiers": [{}]}}, r"tiers\[0\].above: a whole number"),
        ({"m": {"input": "1", "output": "1", "tiers": [{"above": 0}]}}, r"m\[0\]: tiers begin above zero"),
        ({"m": {"input": "1", "output": "1", "tiers": [{"above": 1, "to": 2}]}}, r"tiers\[0\]: unknown to"),
        ({"m": [{"input": "1", "output": "1"}] * 2}, "m: one price or more, each from a later day"),
    ],
)
def test_a_list_that_cannot_be_read_says_where(written: Any, said: str) -> None:
    """The place and what is wrong there."""
    with pytest.raises(BadPrice, match=said):
        parse_price_list(written)


def test_a_price_that_is_no_number_is_refused() -> None:
    """Also where it did not come through the reader."""
    for bad in (Decimal("NaN"), Decimal("-1"), Decimal("Infinity")):
        with pytest.raises(ValueError, match="finite"):
            Rates(input=bad)
        with pytest.raises(ValueError, match="finite"):
            Price(Rates(input=Decimal(1), output=Decimal(1)), request=bad)


AMOUNTS = st.decimals(0, 1_000, places=6)
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(
    lambda counts, thought: Usage(*counts, reasoning=min(thought, counts[5])),
    st.tuples(*[COUNTS] * 7),
    COUNTS,
)
RATES = st.builds(
    lambda given, own: Rates(**given, **own),
    st.fixed_dictionaries({"input": AMOUNTS, "output": AMOUNTS}),
    st.fixed_dictionaries(
        {}, optional={name: AMOUNTS for name in (*CLASSES, "reasoning") if name not in ("input", "output")}
    ),
)
TIERED = st.builds(
    lambda rates, edges, tiers, fee: Price(
        rates, tuple(Tier(edge, one) for edge, one in zip(sorted(edges), tiers, strict=False)), fee
    ),
    RATES,
    st.sets(st.integers(1, 5 * 10**6), max_size=2),
    st.lists(RATES, min_size=2, max_size=2),
    AMOUNTS,
)


def oracle(price: Price, usage: Usage) -> Fraction:
    """Dollars, class by class, in the plainest way."""
    tables = [price.rates, *(tier.rates for tier in price.tiers if usage.prompt > tier.above)]

    def rate(name: str) -> Fraction | None:
        named = [getattr(table, name) for table in tables if getattr(table, name) is not None]
        return Fraction(named[-1]) if named else None

    def first(*names: str) -> Fraction:
        return next(found for name in names if (found := rate(name)) is not None)

    total = usage.input * first("input")
    total += usage.cache_read * first("cache_read", "input")
    total += usage.cache_write_5m * first("cache_write_5m", "input")
    total += usage.cache_write_1h * first("cache_write_1h", "cache_write_5m", "input")
    total += usage.input_audio * first("input_audio", "input")
    total += (usage.output - usage.reasoning) * first("output")
    total += usage.reasoning * first("reasoning", "output")
    total += usage.output_audio * first("output_audio", "output")
    return total / 10**6 + Fraction(price.request)


@given(price=TIERED, usage=USAGES)
def test_the_cost_is_the_exact_sum_rounded_once(price: Price, usage: Usage) -> None:
    """For all prices, tiers and counts: within half a nano-dollar, and up at the half."""
    exact = oracle(price, usage) * 10**9
    assert price.cost_nanos(usage) == (exact + Fraction(1, 2)).__floor__()


@given(price=TIERED, usage=USAGES, more=st.tuples(*[COUNTS] * 3))
def test_no_answer_within_the_bounds_costs_more_than_the_hold(
    price: Price, usage: Usage, more: tuple[int, int, int]
) -> None:
    """Whatever classes its tokens turn out to be, and on whichever side of a tier."""
    hold = price.hold_nanos(
        input_tokens=usage.prompt + more[0],
        output_tokens=usage.completion + more[1],
        web_searches=usage.web_searches + more[2],
    )
    assert price.cost_nanos(usage) <= hold


@given(rates=RATES, usage=USAGES, name=st.sampled_from(CLASSES), more=COUNTS)
def test_more_tokens_never_cost_less(rates: Rates, usage: Usage, name: str, more: int) -> None:
    """In any class, without tiers (a dearer tier may be cheaper only where it is declared so)."""
    price = Price(rates)
    counts = {one: getattr(usage, one) for one in (*CLASSES, "reasoning")}
    larger = Usage(**{**counts, name: counts[name] + more})
    assert price.cost_nanos(usage) <= price.cost_nanos(larger)


@given(rates=RATES, one=USAGES, two=USAGES)
def test_below_a_tier_the_whole_costs_the_sum_of_its_parts(rates: Rates, one: Usage, two: Usage) -> None:
    """To the one rounding of each."""
    price = Price(rates, (Tier(10**9, Rates(input=Decimal(999))),))
    names = (*CLASSES, "reasoning")
    both = Usage(**{name: getattr(one, name) + getattr(two, name) for name in names})
    assert abs(price.cost_nanos(both) - price.cost_nanos(one) - price.cost_nanos(two)) <= 1


def test_looking_up_changes_nothing() -> None:
    """The same question has the same answer before and after any other."""
    prices = parse_price_list(LISTED)
    before = prices.cost_nanos("gemini-2.5-pro", Usage(input=200_001), 0)
    for model in LISTED:
        prices.cost_nanos(model, Usage(input=1), 10**15)
    assert prices.cost_nanos("gemini-2.5-pro", Usage(input=200_001), 0) == before
    assert prices == parse_price_list(LISTED) == PriceList(prices.models)
