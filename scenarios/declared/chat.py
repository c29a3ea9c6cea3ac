"""What a configuration declares of chat, as the checks read it: backends, models, prices, policies, times.

A second opinion like `declared`: parsed from the plain mapping, with its own defaults; it refuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from scenarios.declared.prices import Prices
from scenarios.declared.reading import section, size_of, span_us

__all__ = ["Backend", "Cache", "DeclaredChat", "Model", "Pool"]

_SECOND_US = 1_000_000
_KEY_HEADERS = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    dialect: str  # openai | anthropic | gemini
    host: str
    rpm: int | None = None
    tpm: int | None = None

    @property
    def key_header(self) -> str:
        """Where its own key goes."""
        return _KEY_HEADERS.get(self.dialect, "authorization")


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    backends: Mapping[str, str]  # backend → the model it is asked for
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    kind: str
    pools: tuple[Pool, ...]
    output_max: int
    idempotent: bool = False

    def place(self, backend: str) -> int | None:
        """Which pool a backend is in, counted from 0; the first where it is in several."""
        return next((n for n, pool in enumerate(self.pools) if backend in pool.backends), None)

    @property
    def backends(self) -> Iterator[tuple[str, str]]:
        """Each backend with the model it is asked for, a pool after the other."""
        for pool in self.pools:
            yield from pool.backends.items()


@dataclass(frozen=True, slots=True)
class Cache:
    ttl_us: int
    body_max: int
    hit: str = "free"  # free | full_price


@dataclass(frozen=True, eq=False)
class DeclaredChat:
    """Everything that the checks of chat take as given."""

    backends: Mapping[str, Backend] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)  # by name and by alias
    prices: Prices = field(default_factory=Prices)
    attempts_max: int = 3
    backoff_max_us: int = 8 * _SECOND_US
    primary_waits: int = 0
    primary_wait_us: int = 2 * _SECOND_US
    emergency_calls: int = 1
    emergency_a_minute: int = 6
    cooldown_first_us: int = 5 * _SECOND_US
    cooldown_max_us: int = 120 * _SECOND_US
    breaker_failures: int = 5
    breaker_open_us: int = 30 * _SECOND_US
    breaker_lease_us: int = 30 * _SECOND_US
    connect_us: int = 5 * _SECOND_US
    headers_us: int = 60 * _SECOND_US
    first_token_us: int = 60 * _SECOND_US
    between_us: int = 30 * _SECOND_US
    whole_us: int = 300 * _SECOND_US
    drain_streams: int = 64
    drain_within_us: int = 60 * _SECOND_US
    ambiguous: str = "retry_if_idempotent"
    client_leaves: str = "drain"
    missing_usage: str = "estimate"
    unpriced_model: str = "refuse"
    usage_above_hold: str = "charge_actual"
    all_open: str = "emergency"
    cache: Cache | None = None
    debug_body: int = 0
    log_keep_us: int = 7 * 86_400 * _SECOND_US

    @property
    def answer_within_us(self) -> int:
        """The longest that a caller may wait for the end of an answer, with room for store and way."""
        return self.whole_us + 15 * _SECOND_US

    @property
    def ends_within_us(self) -> int:
        """After calm, how long a call without its end may stay open: its own time, a drain, the sweep's."""
        return self.whole_us + self.drain_within_us + 180 * _SECOND_US

    def may_repeat(self, model: str) -> bool:
        """Whether a call that a backend may have done may be sent again."""
        found = self.models.get(model)
        idempotent = found is not None and found.idempotent
        return self.ambiguous == "always_retry" or (self.ambiguous == "retry_if_idempotent" and idempotent)

    def may_be_used(self, model: Model, backend: str, at_us: int) -> bool:
        """Whether a call may surely go to this backend of the model at that wall time: where it has a price
        of its own, or needs none."""
        if self.unpriced_model != "refuse":
            return True
        asked = [upstream for name, upstream in model.backends if name == backend]
        return all(self.prices.tariff(one, at_us) is not None for one in asked)

    @property
    def attempts_bound(self) -> int:
        """The most attempts of one call, the emergency lane's among them."""
        return self.attempts_max + (self.emergency_calls if self.all_open == "emergency" else 0)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> DeclaredChat | None:
        """From the gateway's configuration; None where it has no models."""
        if not config.get("models"):
            return None
        chat, cache, log = (section(config, part) for part in ("chat", "cache", "request_log"))
        lane, cooling, breaker = (section(chat, part) for part in ("emergency", "cooldown", "breaker"))
        times, drain = section(chat, "timeouts"), section(chat, "drain")
        waits = section(chat, "primary_wait")
        return cls(
            backends={name: _backend(name, one) for name, one in section(config, "backends").items()},
            models=dict(_models(section(config, "models"))),
            prices=Prices.read(
                section(config, "prices"), open_ended=str(config.get("price_snapshot") or "none") != "none"
            ),
            attempts_max=int(chat.get("attempts", cls.attempts_max)),
            backoff_max_us=span_us(section(chat, "backoff"), "max", cls.backoff_max_us),
            primary_waits=int(waits.get("times", cls.primary_waits)),
            primary_wait_us=span_us(waits, "wait", cls.primary_wait_us),
            emergency_calls=int(lane.get("calls", cls.emergency_calls)),
            emergency_a_minute=max(
                1, int(int(lane.get("rpm", 60)) * Fraction(str(lane.get("fraction", "0.1"))))
            ),
            cooldown_first_us=span_us(cooling, "first", cls.cooldown_first_us),
            cooldown_max_us=span_us(cooling, "max", cls.cooldown_max_us),
            breaker_failures=int(breaker.get("failures", cls.breaker_failures)),
            breaker_open_us=span_us(breaker, "open", cls.breaker_open_us),
            breaker_lease_us=span_us(breaker, "lease", cls.breaker_lease_us),
            connect_us=span_us(times, "connect", cls.connect_us),
            headers_us=span_us(times, "headers", cls.headers_us),
            first_token_us=span_us(times, "first_token", cls.first_token_us),
            between_us=span_us(times, "between_tokens", cls.between_us),
            whole_us=span_us(times, "whole", cls.whole_us),
            drain_streams=int(drain.get("streams", cls.drain_streams)),
            drain_within_us=span_us(drain, "within", cls.drain_within_us),
            ambiguous=str(chat.get("ambiguous", cls.ambiguous)),
            client_leaves=str(chat.get("client_leaves", cls.client_leaves)),
            missing_usage=str(chat.get("missing_usage", cls.missing_usage)),
            unpriced_model=str(chat.get("unpriced_model", cls.unpriced_model)),
            usage_above_hold=str(chat.get("usage_above_hold", cls.usage_above_hold)),
            all_open=str(chat.get("all_open", cls.all_open)),
            cache=None
            if config.get("cache") is None
            else Cache(
                span_us(cache, "ttl", 300 * _SECOND_US),
                size_of(cache, "body", 256 << 10),
                str(cache.get("hit", "free")),
            ),
            debug_body=size_of(log, "body", 0),
            log_keep_us=span_us(log, "keep", cls.log_keep_us),
        )


def _backend(name: str, one: Mapping[str, Any]) -> Backend:
    return Backend(
        name=name,
        dialect=str(one.get("dialect", "openai")),
        host=urlsplit(str(one.get("base_url", ""))).netloc,
        rpm=one.get("rpm"),
        tpm=one.get("tpm"),
    )


def _models(written: Mapping[str, Any]) -> Iterator[tuple[str, Model]]:
    for name, one in written.items():
        pools = tuple(
            Pool(
                str(pool.get("name", number)),
                {str(entry["backend"]): str(entry["model"]) for entry in pool.get("backends", ())},
                bool(pool.get("primary", False)),
            )
            for number, pool in enumerate(one.get("pools", ()))
        )
        model = Model(
            name=name,
            kind=str(one.get("kind", "chat")),
            pools=pools,
            output_max=int(one.get("output_max", 4096)),
            idempotent=bool(one.get("idempotent", False)),
        )
        for called in (name, *one.get("aliases", ())):
            yield called, model
