"""Who keeps the accounts: the ledger in the store file, or a service over HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from refgate.config.values import Amount, BaseUrl, Duration, Name, SecretValue, Strict

__all__ = ["Account", "EmbeddedBilling", "RemoteBilling"]

_SECOND = 1_000_000


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
