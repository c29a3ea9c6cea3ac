"""What callers may ask for and where it comes from: backends, the models made of them, their prices.

A model is pools of backends in order; a backend is one provider account, spoken to in one dialect. What is
said here becomes the values that `policy` plans with. Names lead somewhere, or the configuration is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from refgate.config.file import nearest
from refgate.config.problems import at
from refgate.config.values import BaseUrl, Many, Name, SecretValue, Strict
from refgate.policy.declared import Pool
from refgate.policy.rate import Rate, Window
from refgate.price_list import BadPrice, PriceList, parse_price_list
from refgate.price_snapshot import SnapshotMissing, load_snapshot
from refgate.prices import Price

__all__ = [
    "Backend",
    "Dated",
    "DatedPrices",
    "Member",
    "Model",
    "ModelName",
    "ModelPool",
    "check_models",
    "names_of",
    "price_list_of",
]

_OUTPUT_MAX = 4096

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
_Limit = Annotated[int, Field(ge=1)]


class Backend(Strict):
    """One provider account: where it is, how it is spoken to, what it is sent at most in a minute."""

    dialect: Literal["openai", "anthropic", "gemini"]
    base_url: BaseUrl
    key: SecretValue
    rpm: _Limit | None = None
    tpm: _Limit | None = None

    def rate(self) -> Rate:
        """A new count of calls and tokens under the declared limits."""
        return Rate(Window(self.rpm) if self.rpm else None, Window(self.tpm) if self.tpm else None)


class Member(Strict):
    """A backend in a pool: what the model is called there, and its part of the pool's calls."""

    backend: str
    model: ModelName
    weight: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class ModelPool(Strict):
    """Backends that are as good as each other; a `primary` pool is worth waiting for."""

    name: Name
    primary: bool = False
    backends: Many[Member]

    @model_validator(mode="after")
    def _has_backends(self) -> Self:
        if not self.backends:
            raise ValueError("backends lists one backend or more")
        names = [member.backend for member in self.backends]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is listed twice: give it one line, and a weight")
        return self


class Model(Strict):
    """What callers ask for by this name or an alias. Pools are tried in order."""

    kind: Literal["chat", "embeddings"] = "chat"
    aliases: Many[ModelName] = ()
    pools: Many[ModelPool]
    declared_output_max: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, alias="output_max"
    )
    idempotent: bool = False

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if not self.pools:
            raise ValueError("pools lists one pool or more")
        names = [pool.name for pool in self.pools]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two pools are named '{name}'")
        if self.kind == "embeddings" and self.declared_output_max is not None:
            raise ValueError("output_max has no effect on embeddings: they have no output tokens")
        return self

    @property
    def output_max(self) -> int:
        """The bound on output tokens where the caller gives none; embeddings have none."""
        if self.kind == "embeddings":
            return 0
        return _OUTPUT_MAX if self.declared_output_max is None else self.declared_output_max

    def policy_pools(self) -> tuple[Pool, ...]:
        """The pools as plans want them."""
        return tuple(
            Pool(pool.name, tuple((one.backend, one.weight) for one in pool.backends), pool.primary)
            for pool in self.pools
        )


@dataclass(frozen=True, slots=True)
class Dated:
    """One model's prices with the instants they begin at, and as they were written."""

    prices: tuple[tuple[int, Price], ...]
    written: Any


def _dated(value: Any) -> Dated:
    if isinstance(value, Dated):
        return value
    try:
        (prices,) = parse_price_list({"price": value}).models.values()
    except BadPrice as bad:
        message = str(bad).removeprefix("price")
        raise PydanticCustomError("price", "{message}", {"message": message}) from None
    return Dated(prices, value)


def _plain(written: Any) -> Any:
    match written:
        case Decimal():
            return str(written)
        case Mapping():
            return {name: _plain(value) for name, value in written.items()}
        case list():
            return [_plain(value) for value in written]
    return written


DatedPrices = Annotated[Dated, BeforeValidator(_dated), PlainSerializer(lambda dated: _plain(dated.written))]
"""One model's entry of a price list: see `price_list`."""


def names_of(models: Mapping[str, Model]) -> dict[str, str]:
    """Every name a caller may use, and the model it stands for."""
    own = {name: name for name in models}
    return own | {alias: name for name, model in models.items() for alias in model.aliases}


def price_list_of(prices: Mapping[str, Dated], snapshot: str, backends: Mapping[str, Backend]) -> PriceList:
    """The configured prices, and below them those of the snapshot that is declared."""
    configured = {model: dated.prices for model, dated in prices.items()}
    if snapshot == "none":
        return PriceList(configured)
    try:
        hosts = [(one.dialect, one.base_url) for one in backends.values()]
        return PriceList(load_snapshot(hosts, configured))
    except SnapshotMissing as missing:
        raise at(("price_snapshot",), str(missing)) from None


def check_models(models: Mapping[str, Model], backends: Mapping[str, Backend]) -> None:
    """Whether all names lead somewhere, each to one thing, and nothing is declared for nothing."""
    owners: dict[str, str] = {name: name for name in models}
    used: set[str] = set()
    for name, model in models.items():
        for index, alias in enumerate(model.aliases):
            if alias in owners:
                here = ("models", name, "aliases", index)
                raise at(here, f"'{alias}' already stands for the model '{owners[alias]}'")
            owners[alias] = name
        for n, pool in enumerate(model.pools):
            for m, member in enumerate(pool.backends):
                place = ("models", name, "pools", n, "backends", m, "backend")
                if member.backend not in backends:
                    raise at(
                        place, f"there is no backend '{member.backend}'{nearest(member.backend, backends)}"
                    )
                dialect = backends[member.backend].dialect
                if model.kind == "embeddings" and dialect != "openai":
                    raise at(place, f"'{member.backend}' speaks {dialect}: embeddings are for openai")
                used.add(member.backend)
    for name in backends:
        if name not in used:
            raise at(("backends", name), "no model goes there, so that it has no effect")
