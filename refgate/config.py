"""Settings: everything the gateway is told, read once, checked as a whole, frozen.

Strict: an unknown field is an error with its file, line, field and a suggestion; so is a combination
that could never work, and a field without effect. Secrets come from the environment or from files and
are there when the gateway starts, or it does not start. No default reads a clock or a machine.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from refgate.config_file import ConfigError, Located, Place, Problem, nearest, read_yaml
from refgate.config_providers import Provider
from refgate.config_values import Amount, BaseUrl, Duration, Given, Many, Secret, SecretValue, Size, Strict

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

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=_NAME)]


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


class Account(Strict):
    """An account of the embedded ledger: opened at the first start with this grant."""

    grant: Amount
    budget: Amount | None = None


class EmbeddedBilling(Strict):
    """Billing by the ledger in the store file."""

    kind: Literal["embedded"]
    accounts: dict[Name, Account]


class RemoteBilling(Strict):
    """Billing by a service over HTTP."""

    kind: Literal["remote"]
    url: BaseUrl
    key: SecretValue
    timeout_us: Duration = Field(default=5 * _SECOND, alias="timeout")


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

    `keep` is how long a key stands for its call after that has ended.
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
    providers: dict[Name, Provider]

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

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        forever = self.policies.task_without_verdict == "keep_reconciling"
        for name, provider in self.providers.items():
            if not provider.submit or not forever:
                continue
            if provider.ambiguous.resolve == "none":
                raise _at(
                    ("providers", name),
                    "an ambiguous submit could never end: declare ambiguous.resolve (find or resend), or "
                    "policies.task_without_verdict: release",
                )
            if provider.poll is None:
                raise _at(
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
                        raise _at(
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
                raise _at(("callers", name), f"the same key as {other}: nobody could tell the two apart")
            if isinstance(self.billing, EmbeddedBilling):
                for account in caller.accounts:
                    if not any(fnmatchcase(known, account) for known in self.billing.accounts):
                        raise _at(("callers", name), f"billing.accounts has no account '{account}'")
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
        problems = [_problem(dict(one), located, source) for one in found]
    raise ConfigError(sorted(problems, key=lambda one: (one.line or 0, one.field)))


_KINDS = ("embedded", "remote")


def _at(place: Place, message: str) -> PydanticCustomError:
    """A problem of the whole that is best shown at one place in it."""
    return PydanticCustomError("placed", "{message}", {"message": message, "place": place})


def _problem(error: dict[str, Any], located: Located, source: str) -> Problem:
    loc: Place = tuple(error.get("ctx", {}).get("place", error["loc"]))
    if loc[:1] == ("billing",) and loc[1:2] and loc[1] in _KINDS:
        loc = (loc[0], *loc[2:])  # The tag of the union is no field of the file.
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"unknown field{nearest(str(loc[-1]), _fields_at(error['loc'][:-1]))}"
    elif error["type"] == "missing":
        message = "is missing"
    return Problem(source, located.line(loc), ".".join(map(str, loc)), message)


def _fields_at(place: Place) -> list[str]:
    """The names that a mapping at this place may have."""
    models: list[Any] = [Settings]
    for step in place:
        models = [inner for model in models for inner in _step(model, step)]
    return [
        field.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    ]


def _step(model: Any, step: str | int) -> list[Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if step in (name, field.alias):
                return _plain(field.annotation)
        return [model] if step in _KINDS else []
    origin, arguments = typing.get_origin(model), typing.get_args(model)
    if origin is tuple:
        return _plain(arguments[0])
    return _plain(arguments[1]) if origin is dict else []


def _plain(annotation: Any) -> list[Any]:
    """The types an annotation allows, without `Annotated` and unions around them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for argument in typing.get_args(annotation) for one in _plain(argument)]
    return [annotation]


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
