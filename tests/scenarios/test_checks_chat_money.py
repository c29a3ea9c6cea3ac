"""The checks of what chats cost: each holds, is broken, or has nothing to say, on histories told by hand."""

import json
from typing import Any

import pytest

from fakes.chat.dialects import CHAT_DIALECTS
from fakes.chat.tokens import Prices, Tokens, cost_nanos
from fakes.journal import ChatEnded
from scenarios.checks import Verdict, all_checks
from scenarios.checks.chat_pricing import believable, told_counts
from scenarios.declared.gateway import Declared
from scenarios.declared.prices import Prices as PriceTable
from tests.scenarios.chat_kit import COST, HOLD, SECOND, ChatStory, breaches, chat_config, found, verdict


def test_an_honest_history_breaks_nothing() -> None:
    """Calls of each kind, from the question to the charge."""
    told = ChatStory()
    told.served(1)
    told.served(2, stream=True)
    told.served(3, account="bob")
    for check in all_checks():
        assert found(check.name, told).verdict in (Verdict.HOLDS, Verdict.UNTESTED), check.name


def test_without_models_no_check_of_chat_judges(story: Any) -> None:
    """A history of tasks pays nothing for chat."""
    told = story().whole(1)
    for name in ("stream-parity", "requests-logged", "cooldown-respected", "cache-honest", "config-is-live"):
        assert verdict(name, told) is Verdict.UNTESTED


# --- what tokens cost --------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["amount_nanos", "charge"])
def test_a_charge_that_is_not_tokens_times_price(field: str) -> None:
    """Billed wrong, or written down wrong."""
    told = ChatStory()
    if field == "charge":
        told.served(1, nanos=COST + 1)
        assert "tokens × price is 0.000018" in breaches("cost-equals-tokens-times-price", told)
    else:
        told.served(1)
        told.chats[0]["amount_nanos"] = COST + 1
        assert "and the record says" in breaches("cost-equals-tokens-times-price", told)


@pytest.mark.parametrize(
    ("backend", "tokens", "columns", "nanos"),
    [
        ("east", {"cache_read": 10, "input_uncached": 10}, {"input": 10, "cache_read": 10}, 16_500),
        ("east", {"output_text": 5, "output_reasoning": 15}, {"output": 20, "reasoning": 15}, COST),
        ("rome", {}, {}, 120_000),
        (
            "rome",
            {"cache_write_5m": 8, "cache_write_1h": 4},
            {"cache_write_5m": 8, "cache_write_1h": 4},
            138_000,
        ),
    ],
)
def test_each_class_of_tokens_has_its_price(
    backend: str, tokens: dict[str, int], columns: dict[str, int], nanos: int
) -> None:
    """Disjoint, at the price of the model that served."""
    told = ChatStory()
    told.served(1, backend, tokens=tokens, columns=columns, nanos=nanos)
    assert verdict("cost-equals-tokens-times-price", told) is Verdict.HOLDS
    told = ChatStory()
    told.served(1, backend, tokens=tokens, columns=columns, nanos=nanos + 100)
    assert verdict("cost-equals-tokens-times-price", told) is Verdict.BROKEN


def test_a_row_must_agree_with_itself() -> None:
    """The tokens on a row make the amount on it, also where the work is not known."""
    told = ChatStory()
    told.served(1, columns={"output": 21})
    assert "the tokens on its row cost" in breaches("cost-equals-tokens-times-price", told)


@pytest.mark.parametrize(
    ("policy", "nanos", "flags", "right"),
    [
        ("estimate", 15_000, ["usage_missing", "usage_estimated"], True),
        ("estimate", 15_000, [], False),
        ("estimate", HOLD + 1, ["usage_estimated"], False),
        ("estimate", 0, ["usage_estimated"], False),
        ("hold", HOLD, ["usage_missing"], True),
        ("hold", HOLD - 1, ["usage_missing"], False),
        ("zero", 0, ["usage_missing"], True),
        ("zero", 0, [], False),
    ],
)
def test_missing_usage_costs_what_is_declared(policy: str, nanos: int, flags: list[str], right: bool) -> None:
    """Flagged, and within the bounds of an estimate."""
    told = ChatStory.under(chat={"missing_usage": policy})
    told.served(
        1, nanos=nanos, tokens={"usage_shown": None}, columns={"usage_source": "estimated", "flags": flags}
    )
    expected = Verdict.HOLDS if right else Verdict.BROKEN
    assert verdict("cost-equals-tokens-times-price", told) is expected


@pytest.mark.parametrize(
    "shown", ['{"prompt_tokens":-20,"completion_tokens":-20}', '{"prompt_tokens":"20"}', "?"]
)
def test_hostile_figures_are_not_believed(shown: str) -> None:
    """A claim that is not that of the work costs by policy, never what was claimed."""
    told = ChatStory()
    told.served(1, nanos=1, tokens={"usage_shown": shown}, columns={"usage_source": "estimated"})
    assert verdict("cost-equals-tokens-times-price", told) is Verdict.BROKEN


def test_a_cap_is_kept_and_flagged() -> None:
    """Usage above the hold: the hold, and the row says so."""
    big = {"output_text": 5_000}
    for nanos, flags, right in ((HOLD, ["hold_capped"], True), (HOLD, [], False), (3_006_000, [], False)):
        told = ChatStory.under(chat={"usage_above_hold": "cap_at_hold"})
        told.served(1, nanos=nanos, tokens=big, columns={"output": 5_000, "flags": flags})
        assert (verdict("cost-equals-tokens-times-price", told) is Verdict.HOLDS) is right


def test_the_price_is_that_in_force() -> None:
    """From its day on."""
    prices = PriceTable.read(
        {"m": [{"input": "1", "output": "1"}, {"from": "2026-06-01", "input": "2", "output": "2"}]}
    )
    june_us = 1_780_272_000_000_000
    before, after = prices.tariff("m", june_us - 1), prices.tariff("m", june_us)
    assert before is not None
    assert after is not None
    assert (before.cost_nanos({"input": 1}), after.cost_nanos({"input": 1})) == (1_000, 2_000)
    assert prices.tariff("other", june_us) is None


def test_a_tier_is_a_cliff_and_fees_are_added() -> None:
    """Above so many tokens in, all of it; rounded half up once."""
    table = {
        "m": {
            "input": "0.0005",
            "output": "1",
            "request": "0.001",
            "web_search": "0.01",
            "tiers": [{"above": 10, "input": "2"}],
        }
    }
    tariff = PriceTable.read(table).tariff("m", 0)
    assert tariff is not None
    assert tariff.cost_nanos({"input": 1}) == 1_000_001  # half a nano-dollar rounds up
    assert tariff.cost_nanos({"input": 10}) == 1_000_005
    assert tariff.cost_nanos({"input": 11, "output": 1}) == 1_000_000 + 22_000 + 1_000
    assert tariff.cost_nanos({}, web_searches=2) == 21_000_000
    assert tariff.most_nanos(10, 10) == 1_000_000 + 20_000 + 10_000


@pytest.mark.parametrize("name", sorted(CHAT_DIALECTS))
def test_what_vendors_tell_is_what_is_priced(name: str) -> None:
    """For every protocol: honest usage is believed, bent usage is not, and no token is lost on the way."""
    tokens = Tokens(
        input_uncached=100,
        cache_read=20,
        cache_write_5m=7,
        cache_write_1h=5,
        input_audio=3,
        output_text=40,
        output_reasoning=11,
    )
    shown = CHAT_DIALECTS[name]().usage(tokens)
    parts: Any = tokens.by_class()
    ended = ChatEnded(
        t_us=0,
        at="p",
        seq=1,
        nonce=None,
        model="m",
        **parts,
        cost_nanos=0,
        billed=True,
        complete=True,
        delivered=51,
        events=0,
        text="",
        usage_shown=json.dumps(shown),
    )
    counts = told_counts(ended, name)
    came_out = 0 if name == "openai_embeddings" else tokens.output_total
    assert sum(counts.values()) == tokens.input_total + came_out
    if name != "openai_embeddings":
        assert believable(ended, name)
    for place in [key for key, value in shown.items() if isinstance(value, int) and value]:
        if place in ("cache_creation_input_tokens",):
            continue  # what an hour's writes are, the last word of a stream does not tell
        bent = ChatEnded(**{**_fields(ended), "usage_shown": json.dumps({**shown, place: shown[place] + 7})})
        assert not believable(bent, name), place
    flat = Prices(input="1", output="1").per_million()
    assert flat["input_uncached"] == "1"
    assert cost_nanos(tokens, Prices(input="1", output="1")) == 1_000 * (tokens.input_total + 51)


def _fields(ended: ChatEnded) -> dict[str, Any]:
    return {name: getattr(ended, name) for name in ended.__slots__} | {"t_us": 0, "at": "p"}


# --- what is free, and what is not --------------------------------------------------------------------


def test_a_failed_call_is_free() -> None:
    """A refusal everywhere, and nothing charged; or something."""
    for nanos, expected in ((0, Verdict.HOLDS), (5, Verdict.BROKEN)):
        told = ChatStory()
        sent = told.asks(1)
        told.reserve(1, HOLD, call="c1")
        received = told.reaches(1, accepted=False)
        told.refuses(received)
        told.failed(1, received, "rate_limited", status=429)
        told.finalize(1, nanos)
        told.noted(1, outcome="failed", amount_nanos=nanos, status=503, usage_source="none")
        told.told(sent, "AllPoolsExhausted", 503, ("retry-after", "5"))
        assert verdict("failure-is-free", told) is expected


def test_a_call_that_reached_nobody_is_free() -> None:
    """Without an attempt there is nothing to charge, crash or not."""
    told = ChatStory()
    told.asks(1)
    told.reserve(1, HOLD, call="c1")
    told.finalize(1, 7)
    told.noted(1, outcome="lost", amount_nanos=7, flags=["no_verdict"])
    assert verdict("failure-is-free", told) is Verdict.BROKEN


def test_work_that_nobody_was_charged_for_is_lost() -> None:
    """Billed by the backend: a charge, or a row that says why not."""
    for flags, expected in (([], Verdict.BROKEN), (["unbilled_work"], Verdict.HOLDS)):
        told = ChatStory()
        told.served(1, nanos=0, columns={"flags": flags})
        assert verdict("success-is-charged", told) is expected
    told = ChatStory()
    told.served(1)
    assert verdict("success-is-charged", told) is Verdict.HOLDS
    assert verdict("success-is-charged", ChatStory()) is Verdict.UNTESTED


def test_work_that_was_never_written_down_is_lost() -> None:
    """A request at a backend that is no attempt of the record."""
    told = ChatStory()
    told.served(1)
    told.says(told.reaches(1, "west"))
    assert "no attempt of the record" in breaches("success-is-charged", told)


def test_a_second_work_is_flagged() -> None:
    """The first answer was lost, the second served: the row says that there is more on the bill."""
    for flags, expected in (([], Verdict.BROKEN), (["unbilled_work"], Verdict.HOLDS)):
        told = ChatStory.under(chat={"ambiguous": "always_retry"})
        sent = told.asks(1)
        told.reserve(1, HOLD, call="c1")
        first = told.reaches(1)
        told.says(first, complete=False, text="", delivered=0, usage_shown=None, answer=False)
        told.failed(1, first, "timeout", ambiguous=True)
        second = told.reaches(1, "west")
        ended = told.says(second)
        told.tried(1, second)
        told.finalize(1, COST)
        told.noted(1, flags=flags)
        told.hears(sent)
        told.understood(sent, ended.text)
        assert verdict("success-is-charged", told) is expected


# --- bounds, holds, budgets ---------------------------------------------------------------------------


def test_a_charge_above_hold_and_work_is_out_of_bounds() -> None:
    """Whatever the figures claimed."""
    told = ChatStory()
    told.served(1, nanos=HOLD)
    assert verdict("charge-in-bounds", told) is Verdict.HOLDS
    told = ChatStory()
    told.served(1, nanos=HOLD + 1)
    assert "the most that it may cost" in breaches("charge-in-bounds", told)


def test_a_hold_is_enough_for_its_request() -> None:
    """What a request can cost within its own bounds was set aside."""
    told = ChatStory()
    told.served(1)
    told.chats[0]["hold_nanos"] = COST - 1
    told.chats[0]["amount_nanos"] = COST
    assert "was held" in breaches("charge-in-bounds", told)


def test_no_backend_works_unheld() -> None:
    """The hold is there before the backend hears of it."""
    told = ChatStory()
    told.served(1)
    assert verdict("no-work-without-hold", told) is Verdict.HOLDS
    told.holds[0]["opened_us"] += 10 * SECOND
    assert verdict("no-work-without-hold", told) is Verdict.BROKEN


def test_a_hold_of_a_chat_that_never_ends() -> None:
    """It stays open long after the calm."""
    told = ChatStory()
    told.asks(1)
    told.reserve(1, HOLD, call="c1")
    received = told.reaches(1)
    told.failed(1, received, "timeout")
    told.noted(1, state="open", outcome=None, amount_nanos=None)
    assert "its call is open" in breaches("every-hold-ends", told)
    told.settle_us = 60 * SECOND
    assert verdict("every-hold-ends", told) is Verdict.UNTESTED


def test_a_budget_is_not_passed() -> None:
    """Holds beyond grant or budget."""
    told = ChatStory()
    told.reserve(1, 6_000_000_000, call="c1")
    assert verdict("budget-never-exceeded", told) is Verdict.BROKEN


def test_nobody_is_refused_who_could_pay() -> None:
    """Refused with money to spare, and refused without."""
    for spent, expected in ((0, Verdict.BROKEN), (4_999_999_000, Verdict.HOLDS)):
        told = ChatStory()
        if spent:
            told.reserve(9, spent, call="c9")
        told.told(told.asks(1), "no_money", 429)
        assert verdict("no-phantom-refusal", told) is expected


# --- parity and leaving -------------------------------------------------------------------------------


def test_a_stream_costs_what_an_answer_in_one_piece_costs() -> None:
    """The same tokens, one amount; one kind alone shows nothing."""
    told = ChatStory()
    told.served(1)
    assert verdict("stream-parity", told) is Verdict.UNTESTED
    told.served(2, stream=True)
    told.served(3, protocol="anthropic")
    assert verdict("stream-parity", told) is Verdict.HOLDS
    told.served(4, protocol="openai_responses", nanos=COST + 5)
    assert "the same tokens cost 0.000018" in breaches("stream-parity", told)


def _left(
    nanos: int,
    *,
    policy: str = "drain",
    flags: tuple[str, ...] = ("left",),
    complete: bool = True,
    **over: Any,
) -> ChatStory:
    told = ChatStory.under(chat={"client_leaves": policy})
    sent = told.asks(1, stream=True)
    told.reserve(1, HOLD, call="c1")
    received = told.reaches(1, stream=True)
    told.leaves(sent)
    told.says(received, complete=complete, **over)
    source = "reported" if complete else "estimated"
    if complete:
        told.tried(1, received, usage_source=source)
    else:
        told.failed(1, received, "left", usage_source=source)
    told.finalize(1, nanos)
    told.noted(1, outcome="left", amount_nanos=nanos, flags=list(flags), usage_source=source)
    told.understood(sent, outcome="left", complete=False)
    return told


def test_a_caller_who_leaves_pays_what_was_generated_where_streams_are_drained() -> None:
    """Exactly: the figures came."""
    assert verdict("disconnect-policy-kept", _left(COST)) is Verdict.HOLDS
    assert verdict("disconnect-policy-kept", _left(COST - 1_000)) is Verdict.BROKEN
    assert verdict("disconnect-policy-kept", _left(0)) is Verdict.BROKEN


@pytest.mark.parametrize(
    ("nanos", "flags", "expected"),
    [
        (12_000, ("left", "usage_estimated"), Verdict.HOLDS),
        (13_000, (), Verdict.BROKEN),
        (0, ("left", "usage_estimated"), Verdict.BROKEN),
        (HOLD + 1, ("left", "usage_estimated"), Verdict.BROKEN),
    ],
)
def test_a_caller_who_leaves_pays_an_estimate_where_streams_are_called_off(
    nanos: int, flags: tuple[str, ...], expected: Verdict
) -> None:
    """At least what was delivered, at most what was generated or held, and flagged."""
    told = _left(nanos, policy="abort", flags=flags, complete=False, usage_shown=None, output_text=10)
    assert verdict("disconnect-policy-kept", told) is expected


def test_who_stays_says_nothing_of_leaving() -> None:
    """Untested."""
    told = ChatStory()
    told.served(1)
    assert verdict("disconnect-policy-kept", told) is Verdict.UNTESTED


@pytest.mark.parametrize(("table", "name"), [("chats", "amount_nanos"), ("entries", "amount_nanos")])
def test_a_mutation_of_any_amount_is_seen(table: str, name: str) -> None:
    """Whatever row of the money is changed by a little, some check says so."""
    for place in range(2):
        told = ChatStory()
        told.served(1)
        told.served(2, stream=True)
        getattr(told, table)[place][name] += 1
        assert [one.name for one in all_checks() if verdict(one.name, told) is Verdict.BROKEN]


def test_the_clock_of_the_rows_is_brought_to_that_of_the_history() -> None:
    """Rows carry wall time."""
    told = ChatStory()
    told.declared = Declared.read(
        chat_config(prices={"mini": {"input": "0.30", "output": "0.60"}}), epoch_us=10**15
    )
    told.served(1)
    for row in (*told.chats, *told.chat_attempts, *told.holds, *told.entries, *told.requests):
        for name in [
            one for one in row if one in ("started_us", "ended_us", "created_us", "opened_us", "at_us")
        ]:
            row[name] += 10**15
    for check in ("cost-equals-tokens-times-price", "no-work-without-hold", "attempts-recorded"):
        assert verdict(check, told) is Verdict.HOLDS
