"""Settings: everything the gateway is told, read once, checked as a whole, frozen.

Strict: an unknown field is an error with its file, line, field and a suggestion; so is a combination
that could never work, and a field without effect. Secrets come from the environment or from files and
are there when the gateway starts, or it does not start. No default reads a clock or a machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from refgate.config.billing import Account, EmbeddedBilling, RemoteBilling
from refgate.config.chat import Cache, Chat, RequestLog, check_chat
from refgate.config.file import ConfigError, Located, Problem, read_yaml
from refgate.config.models import (
    Backend,
    DatedPrices,
    Model,
    ModelName,
    check_models,
    names_of,
    price_list_of,
)
from refgate.config.problems import at, problem
from refgate.config.providers import Provider
from refgate.config.values import Duration, Given, Many, Name, Secret, SecretValue, Size, Strict
from refgate.price_list import PriceList

__all__ = [
    "Account",
    "Admin",
    "Caller",
    "EmbeddedBilling",
    "Idempotency",
    "Limits",
    "Listen",
    "Name",
    "Policies",
    "Reconcile",
    "RemoteBilling",
    "Settings",
    "StoreFile",
    "Timeouts",
    "load_settings",
]

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE


class Listen(Strict):
    """Where callers come in, and how long calls in hand may take to finish when the gateway stops."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    drain_us: Duration = Field(default=30 * _SECOND, alias="drain")


class StoreFile(Strict):
    """The gateway's memory: one SQLite file, which replicas on one machine may share."""

    path: Annotated[str, Field(min_length=1)] = "refgate.sqlite"


class Admin(Strict):
    """The read API over calls, accounts and the ledger."""

    key: SecretValue


class Caller(Strict):
    """Who may call, and for which accounts: the first is the default, later ones may be globs."""

    key: SecretValue
    accounts: Many[Annotated[str, Field(min_length=1, max_length=128)]]

    @model_validator(mode="after")
    def _has_a_default(self) -> Self:
        if not self.accounts or any(char in self.accounts[0] for char in "*?["):
            raise ValueError("accounts begins with one whole account name, the caller's default")
        return self

    def may_use(self, account: str) -> bool:
        return any(fnmatchcase(account, allowed) for allowed in self.accounts)


class Policies(Strict):
    """What half of the world calls a bug and the other half a feature: declared, then kept."""

    billing_unreachable: Literal["fail_closed", "fail_open"] = "fail_closed"
    missing_usage: Literal["hold", "zero", "estimate"] = "hold"
    usage_above_hold: Literal["charge_actual", "cap_at_hold"] = "charge_actual"
    task_without_verdict: Literal["keep_reconciling", "release"] = "keep_reconciling"


class Limits(Strict):
    """Ceilings on what is read into memory, and on how many requests are in hand at once."""

    request_body: Size = 1024 * 1024
    answer_body: Size = 8 * 1024 * 1024
    requests: Annotated[int, Field(ge=1, le=100_000)] = 1000


class Timeouts(Strict):
    """How long each phase of one request to a provider may take; `total` is all of it, body included."""

    connect_us: Duration = Field(default=5 * _SECOND, alias="connect")
    read_us: Duration = Field(default=30 * _SECOND, alias="read")
    write_us: Duration = Field(default=30 * _SECOND, alias="write")
    pool_us: Duration = Field(default=5 * _SECOND, alias="pool")
    total_us: Duration = Field(default=60 * _SECOND, alias="total")


class Idempotency(Strict):
    """A repeat that meets its first call in flight is told so (409), or waits for the answer (then 409).

    `keep` is how long, after a call has ended, its key stands for it and its answers are given again.
    """

    in_flight: Literal["conflict", "attach"] = "conflict"
    wait_us: Duration = Field(default=10 * _SECOND, alias="wait")
    keep_us: Duration = Field(default=24 * _HOUR, alias="keep")


class Reconcile(Strict):
    """The sweep: how often, after what silence it asks about a task itself, when no verdict is too late.

    `lease` is how long a call is left to whoever has it in hand, beside the time its request may take.
    """

    every_us: Duration = Field(default=5 * _SECOND, alias="every")
    poll_after_us: Duration = Field(default=60 * _SECOND, alias="poll_after")
    lease_us: Duration = Field(default=30 * _SECOND, alias="lease")
    verdict_within_us: Duration = Field(default=_HOUR, alias="verdict_within")


class Settings(Strict):
    """The whole configuration."""

    listen: Listen = Listen()
    store: StoreFile = StoreFile()
    admin: Admin
    callers: dict[Name, Caller]
    billing: Annotated[EmbeddedBilling | RemoteBilling, Field(discriminator="kind")]
    policies: Policies = Policies()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    idempotency: Idempotency = Idempotency()
    reconcile: Reconcile = Reconcile()
    providers: dict[Name, Provider] = Field(default_factory=dict)
    backends: dict[Name, Backend] = Field(default_factory=dict)
    models: dict[ModelName, Model] = Field(default_factory=dict)
    prices: dict[str, DatedPrices] = Field(default_factory=dict)
    price_snapshot: Literal["none", "genai-prices"] = "none"
    chat: Chat = Chat()
    cache: Cache | None = None
    request_log: RequestLog = RequestLog()

    @classmethod
    def parse(
        cls, mapping: Mapping[str, Any], *, environ: Mapping[str, str], source: str = "<mapping>"
    ) -> Settings:
        """Reads a configuration that is already plain values. Raises ConfigError."""
        return _parse(Located(dict(mapping), {}), Given(environ, Path()), source)

    def secrets(self) -> tuple[str, ...]:
        """Every secret's value, for whatever must never let one through."""
        return tuple(
            sorted({secret.reveal() for secret in _secrets(self)}, key=lambda value: (-len(value), value))
        )

    def effective(self) -> dict[str, Any]:
        """What is in force, defaults filled in, as a configuration would write it; no secret's value."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @cached_property
    def price_list(self) -> PriceList:
        """What tokens cost, model by model."""
        return price_list_of(self.prices, self.price_snapshot, self.backends)

    @cached_property
    def model_names(self) -> Mapping[str, str]:
        """Every name that a caller may ask for, and the model in `models` that it stands for."""
        return MappingProxyType(names_of(self.models))

    @model_validator(mode="after")
    def _serves_something(self) -> Self:
        if not self.models and not self.providers:
            raise at(("providers",), "there is nothing to serve: declare providers, or models")
        check_models(self.models, self.backends)
        check_chat(self.chat, self.models)
        if self.models and not isinstance(self.billing, EmbeddedBilling):
            raise at(("billing", "kind"), "models need billing.kind: embedded")
        for name in () if self.models else ("prices", "price_snapshot", "cache"):
            if getattr(self, name) not in ({}, "none", None):
                raise at((name,), "has no effect without models")
        _ = self.price_list  # which says now, not at the first call, that it cannot be had
        return self

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        forever = self.policies.task_without_verdict == "keep_reconciling"
        for name, provider in self.providers.items():
            if not provider.submit or not forever:
                continue
            if provider.ambiguous.resolve == "none":
                raise at(
                    ("providers", name),
                    "an ambiguous submit could never end: declare ambiguous.resolve (find or resend), or "
                    "policies.task_without_verdict: release",
                )
            if provider.poll is None:
                raise at(
                    ("providers", name),
                    "a task that nobody polls could never end: give poll, or declare "
                    "policies.task_without_verdict: release",
                )
        return self

    @model_validator(mode="after")
    def _can_estimate(self) -> Self:
        if self.policies.missing_usage == "estimate":
            for name, provider in self.providers.items():
                for index, route in enumerate(provider.query):
                    if route.usage.flat is None and route.usage.estimate is None:
                        raise at(
                            ("providers", name, "query", index, "usage"),
                            "estimate is missing: policies.missing_usage: estimate needs it",
                        )
        return self

    @model_validator(mode="after")
    def _knows_its_callers(self) -> Self:
        owners: dict[str, str] = {self.admin.key.reveal(): "admin"}
        for name, caller in self.callers.items():
            other = owners.setdefault(caller.key.reveal(), name)
            if other != name:
                raise at(("callers", name), f"the same key as {other}: nobody could tell the two apart")
            if isinstance(self.billing, EmbeddedBilling):
                for account in caller.accounts:
                    if not any(fnmatchcase(known, account) for known in self.billing.accounts):
                        raise at(("callers", name), f"billing.accounts has no account '{account}'")
        return self


def load_settings(path: str | Path, environ: Mapping[str, str]) -> Settings:
    """Reads a configuration file. Raises ConfigError with every problem found."""
    file = Path(path)
    located = read_yaml(file)
    return _parse(located, Given(environ, file.parent), str(path))


def _parse(located: Located, given: Given, source: str) -> Settings:
    if not isinstance(located.value, dict):
        raise ConfigError([Problem(source, located.line(()), "", "a configuration is a mapping")])
    try:
        return Settings.model_validate(located.value, context=given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [problem(dict(one), Settings, located, source) for one in found]
    raise ConfigError(sorted(problems, key=lambda one: (one.line or 0, one.field)))


def _secrets(part: Any) -> Iterator[Secret]:
    match part:
        case Secret():
            yield part
        case BaseModel():
            for name in type(part).model_fields:
                yield from _secrets(getattr(part, name))
        case dict():
            for value in part.values():
                yield from _secrets(value)
        case tuple():
            for value in part:
                yield from _secrets(value)
