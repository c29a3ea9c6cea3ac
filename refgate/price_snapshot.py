"""Prices out of the installed genai-prices package: its own dated table, as it was packaged.

Read once, at start, and never renewed: no network, no thread. A model is found by the package's own rules,
so that dated and other spellings of a name are known; its standard prices are taken, not those of a service
tier or a batch. What is configured goes above, also for another spelling of the same model. What the table
says in a way that a `Price` cannot say (by the hour of the day, by the second, by the page) is no price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from refgate.prices import Price, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["Snapshot", "SnapshotMissing", "load_snapshot"]

_Dated = tuple[tuple[int, Price], ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME_MAX = 128
_NAMES_KEPT = 1024

_OWN = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}
"""Whose prices a backend has whose host is nobody's known one; names are looked for in this order."""

_RATES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_5m_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_mtok": "output",
    "output_audio_mtok": "output_audio",
    "output_reasoning_mtok": "reasoning",
}
"""The table's keys and our classes; of two for one class the later here counts."""

_FEES = {"requests_kcount": "request", "web_searches_kcount": "web_search"}

_FINER = re.compile(r"(?!output_(?:image|video)_)\w+_mtok|\w+_(?:searches|executions)_kcount")
"""Prices of what usage does not tell apart: such tokens are priced as the class they are counted in. Where
images come out that is most of the price, and so there is none."""


class SnapshotMissing(Exception):
    """The package is not installed."""


def load_snapshot(backends: Iterable[tuple[str, str]], above: Mapping[str, _Dated]) -> Snapshot:
    """The table for backends of these dialects and base URLs, below the configured prices.

    Raises SnapshotMissing.
    """
    try:
        # It brings a web client and half a second of work: only who declares it pays for it.
        from genai_prices.data import providers
    except ImportError:
        raise SnapshotMissing("genai-prices is not installed: pip install 'refgate[prices]'") from None
    wanted = {_provider_of(providers, dialect, url) for dialect, url in backends}
    order = [*_OWN.values(), *sorted(wanted)]
    return Snapshot(
        sorted((one for one in providers if one.id in wanted), key=lambda one: order.index(one.id)), above
    )


def _provider_of(providers: Iterable[Provider], dialect: str, base_url: str) -> str:
    known = (one.id for one in providers if re.match(one.api_pattern, base_url))
    return next(known, _OWN[dialect])


class Snapshot(Mapping[str, _Dated]):
    """For each name of a model its prices with the instants they begin at, as a `PriceList` has them."""

    def __init__(self, providers: Iterable[Provider], above: Mapping[str, _Dated]) -> None:
        self._providers = tuple(providers)
        self._above = above
        # Backends name models as they like: what is kept of their names has a ceiling.
        self._found = lru_cache(maxsize=_NAMES_KEPT)(self._look_up)
        self._overridden = {id(model): name for name in above if (model := self._model(name)) is not None}

    def __getitem__(self, name: str) -> _Dated:
        found = self._above.get(name) or self._found(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        ids = (model.id for provider in self._providers for model in provider.models)
        return iter(
            [*self._above, *dict.fromkeys(one for one in ids if one not in self._above and one in self)]
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _look_up(self, name: str) -> _Dated | None:
        model = self._model(name)
        if model is None:
            return None
        own = self._overridden.get(id(model))
        return _dated(model) if own is None else self._above[own]

    def _model(self, name: str) -> ModelInfo | None:
        if not 0 < len(name) <= _NAME_MAX:
            return None
        found = (provider.find_model(name) for provider in self._providers)
        return next((model for model in found if model is not None), None)


def _dated(model: ModelInfo) -> _Dated | None:
    """The model's standard prices from each day on which they change."""
    begins = [_EPOCH]
    if isinstance(model.prices, list):
        for one in model.prices:
            if one.constraint is not None:
                start = getattr(one.constraint, "start_date", None)
                if start is None:
                    return None  # by the hour of the day
                begins.append(max(_EPOCH, datetime(start.year, start.month, start.day, tzinfo=UTC)))
    prices = []
    for begin in sorted(set(begins)):
        price = _price(model.get_prices(begin))
        if price is None:
            return None
        prices.append(((begin - _EPOCH) // timedelta(microseconds=1), price))
    # A change that no class of ours is told by is none.
    return tuple(next(same) for _, same in groupby(prices, key=lambda dated: dated[1]))


def _price(listed: ModelPrice) -> Price | None:
    base: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    fees: dict[str, Decimal] = {}
    given = {key: value for key, value in vars(listed).items() if value is not None}
    if "input_mtok" not in given or any(not _known(key) for key in given):
        return None
    for key, name in _RATES.items():
        if (value := given.get(key)) is None:
            continue
        if isinstance(value, Decimal):
            base[name] = value
        else:
            base[name] = value.base
            for tier in value.tiers:
                tiers.setdefault(tier.start, {})[name] = tier.price
    for key, name in _FEES.items():
        if (value := given.get(key)) is not None:
            if not isinstance(value, Decimal):
                return None
            fees[name] = value.scaleb(-3)  # they are listed for a thousand
    base.setdefault("output", Decimal(0))  # of models that have none, such as those of embeddings
    try:
        return Price(
            Rates(**base),
            tuple(Tier(above, Rates(**rates)) for above, rates in sorted(tiers.items())),
            **fees,
        )
    except ValueError:
        return None


def _known(key: str) -> bool:
    return key in _RATES or key in _FEES or _FINER.fullmatch(key) is not None
