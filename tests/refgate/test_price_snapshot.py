"""Prices out of the installed package: exact, dated, offline, and below what is configured."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from refgate import Settings
from refgate.dialects.spoken import Usage
from refgate.price_list import Cost, PriceList, Unpriced, parse_price_list
from refgate.price_snapshot import Snapshot, SnapshotMissing, load_snapshot
from tests.refgate.test_config import ENVIRON, example, refused

BACKENDS = [
    ("openai", "http://east.test/v1"),
    ("anthropic", "http://rome.test/v1"),
    ("gemini", "http://tokyo.test/v1beta"),
]
IMAGES = "gemini-2.5-flash-image"
NOTHING: Mapping[str, Any] = {}
NOW_US = 1_795_000_000_000_000  # in November 2026


def snapshot(backends: Iterable[tuple[str, str]] = BACKENDS, above: Mapping[str, Any] = NOTHING) -> PriceList:
    return PriceList(load_snapshot(backends, parse_price_list(above).models))


def us(*day: int) -> int:
    return int(datetime(*day, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]  # year first


@pytest.mark.parametrize(
    ("model", "usage", "nanos"),
    [
        ("gpt-4o-mini", Usage(input=1_000_000, cache_read=1_000_000, output=1_000_000), 825_000_000),
        (
            "claude-haiku-4-5",
            Usage(input=1, cache_read=1, cache_write_5m=1, cache_write_1h=1, output=1),
            9_350,
        ),
        ("claude-haiku-4-5", Usage(input=1, web_searches=1), 10_001_000),
        ("gemini-2.5-flash", Usage(input=10, input_audio=10, output=10, reasoning=4), 38_000),
        ("gemini-2.5-pro", Usage(input=200_000, output=1), 250_010_000),
        ("gemini-2.5-pro", Usage(input=200_001, output=1), 500_017_500),
        ("text-embedding-3-small", Usage(input=1_000), 20_000),
    ],
)
def test_known_models_cost_what_their_providers_list(model: str, usage: Usage, nanos: int) -> None:
    """Each class at its own price, tiers as cliffs, fees for each thousand as fees for each."""
    cost = snapshot().cost_nanos(model, usage, NOW_US)
    assert isinstance(cost, Cost) and cost.nanos == nanos


def test_a_name_is_found_as_the_package_finds_it() -> None:
    """Dated names, as backends give them in their answers, cost what the model costs."""
    prices = snapshot()
    for dated, plain in [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("GPT-4o-mini", "gpt-4o-mini"),
    ]:
        assert prices.price(dated, NOW_US) == prices.price(plain, NOW_US)


@pytest.mark.parametrize("name", ["nobody", "", "gpt-4o-mini" + "x" * 200, "whisper-1", IMAGES])
def test_what_the_table_does_not_say_exactly_has_no_price(name: str) -> None:
    """Unknown names, prices by the second, images counted as text: for a policy to decide, not to guess."""
    assert snapshot().price(name, NOW_US) == Unpriced(name, "unknown_model")


def test_prices_change_on_the_day_the_table_says() -> None:
    """A call of before is charged what was in force then."""
    prices, day_us = snapshot(), us(2025, 6, 10)
    million = Usage(output=1_000_000)
    assert prices.cost_nanos("o3", million, day_us - 1) == Cost(40_000_000_000, 0)
    assert prices.cost_nanos("o3", million, day_us) == Cost(8_000_000_000, day_us)


def test_what_is_configured_goes_above() -> None:
    """Also for another spelling of the same model: backends answer with dated names."""
    prices = snapshot(
        above={"gpt-4o-mini": {"input": "7", "output": "8"}, "mine": {"input": "1", "output": "1"}}
    )
    for name in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"):
        assert prices.cost_nanos(name, Usage(input=1), NOW_US) == Cost(7_000, 0)
    assert prices.cost_nanos("mine", Usage(input=1), NOW_US) == Cost(1_000, 0)
    exact = snapshot(
        above={
            "gpt-4o-mini": {"input": "7", "output": "8"},
            "gpt-4o-mini-2024-07-18": {"input": "5", "output": "8"},
        }
    )
    assert exact.cost_nanos("gpt-4o-mini-2024-07-18", Usage(input=1), NOW_US) == Cost(5_000, 0)


def test_prices_are_those_of_the_providers_in_use() -> None:
    """A backend's host says whose they are, and its dialect where the host is nobody's known one."""
    assert isinstance(snapshot([BACKENDS[1]]).price("gpt-4o-mini", NOW_US), Unpriced)
    elsewhere = snapshot([("openai", "https://api.deepseek.com/v1")])
    assert isinstance(elsewhere.price("gpt-4o-mini", NOW_US), Unpriced)
    assert isinstance(snapshot([("openai", "https://api.openai.com/v1")]).price("gpt-4o", NOW_US), tuple)


def theirs(usage: Usage, model: str, provider: str) -> int:
    """What the package itself makes of the same usage, rounded as we do."""
    price = calc_price(
        TheirUsage(
            input_tokens=usage.prompt,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.completion,
            web_searches=usage.web_searches,
        ),
        model_ref=model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(NOW_US / 1e6, tz=UTC),
    )
    return int((price.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


USAGES = [
    Usage(input=123_457, output=991, web_searches=2),
    Usage(input=1, cache_read=150_001, output=7, reasoning=3),
    Usage(input=199_999, cache_read=1, output=1),
    Usage(input=199_999, cache_read=2, output=1),
    Usage(input=11, cache_write_5m=13, cache_write_1h=17, output=19),
    Usage(input=900_001, cache_write_1h=31, output=1),
]


OWN = [one for one in providers if one.id in ("openai", "anthropic", "google")]


@pytest.mark.parametrize("provider", OWN, ids=lambda one: one.id)
def test_we_read_the_table_as_its_own_package_does(provider: Provider) -> None:
    """Each model that has a price costs what the package says it costs, whatever the usage."""
    dialect = {"google": "gemini"}.get(provider.id, provider.id)
    prices = snapshot([(dialect, "http://x.test")])
    judged = 0
    for model in provider.models:
        found = provider.find_model(model.id)
        for usage in USAGES if found is model else ():
            cost = prices.cost_nanos(model.id, usage, NOW_US)
            listed = vars(model.get_prices(datetime.fromtimestamp(NOW_US / 1e6, tz=UTC)))
            if usage.cache_write_1h and "cache_write_mtok" not in listed:
                continue  # it is an error there, and priced as input here
            if isinstance(cost, Cost) and "output_mtok" in listed:
                assert cost.nanos == theirs(usage, model.id, provider.id), (model.id, usage)
                judged += 1
    assert judged > 50


def invented(prices: Any) -> Snapshot:
    model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=prices)
    return Snapshot([Provider(id="p", name="P", api_pattern="x", models=[model])], {})


IN_OUT = {"input_mtok": Decimal(1), "output_mtok": Decimal(2)}


@pytest.mark.parametrize(
    "prices",
    [
        ModelPrice(**IN_OUT, audio_hours=Decimal(1)),
        ModelPrice(**IN_OUT, output_video_mtok=Decimal(3)),
        ModelPrice(**IN_OUT, unheard_of=Decimal(3)),
        ModelPrice(output_mtok=Decimal(1)),
        ModelPrice(input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=0, price=Decimal(2))])),
        ModelPrice(**IN_OUT, requests_kcount=TieredPrices(base=Decimal(1), tiers=[])),
        [
            ConditionalPrice(None, prices=ModelPrice(**IN_OUT)),
            ConditionalPrice(TimeOfDateConstraint(time(1), time(2)), prices=ModelPrice(**IN_OUT)),
        ],
    ],
)
def test_what_a_price_cannot_say_is_none(prices: Any) -> None:
    """A newer table may say more than we know: never less is charged than is listed."""
    assert invented(prices).get("m") is None
    assert list(invented(prices)) == []


def test_a_fee_of_each_thousand_is_exact() -> None:
    """And a table that begins with a date had its first price before, too."""
    dear, cheap = ModelPrice(**IN_OUT, requests_kcount=Decimal("0.001")), ModelPrice(**IN_OUT)
    made = invented(
        [
            ConditionalPrice(StartDateConstraint(date(2026, 1, 1)), prices=cheap),
            ConditionalPrice(StartDateConstraint(date(2026, 2, 1)), prices=dear),
        ]
    )
    prices = PriceList(made)
    assert (list(made), len(made)) == (["m"], 1)
    assert prices.cost_nanos("m", Usage(input=1), 0) == Cost(1_000, 0)
    assert prices.cost_nanos("m", Usage(input=1), us(2026, 2, 1)) == Cost(2_000, us(2026, 2, 1))


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is the one that was installed."""

    def none(*_: object, **__: object) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", none)
    monkeypatch.setattr(socket, "getaddrinfo", none)
    assert isinstance(snapshot().price("gpt-4o-mini", NOW_US), tuple)


def test_the_configuration_says_whether_it_is_used() -> None:
    """Without it, a model has the prices that are configured, or none."""
    config = example()
    assert isinstance(Settings.parse(config, environ=ENVIRON).price_list.price("gpt-4o", NOW_US), Unpriced)
    config["price_snapshot"] = "genai-prices"
    settings = Settings.parse(config, environ=ENVIRON)
    assert isinstance(settings.price_list.price("gpt-4o", NOW_US), tuple)
    assert Settings.parse(settings.effective(), environ=ENVIRON).effective() == settings.effective()


def test_a_package_that_is_not_there_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install; and who does not declare it does not need it."""
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(SnapshotMissing):
        snapshot()
    config = example()
    Settings.parse(config, environ=ENVIRON)
    config["price_snapshot"] = "genai-prices"
    assert refused(config) == (
        "g.yaml: price_snapshot: genai-prices is not installed: pip install 'refgate[prices]'"
    )
