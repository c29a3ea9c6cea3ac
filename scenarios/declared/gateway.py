"""What a gateway's configuration declares, as the checks read it: policies, prices, deadlines, lists.

A second opinion: it is parsed here from the plain mapping, by its own rules and with its own defaults, so
that a mistake in the gateway's own reading cannot cancel out in the judgement. It refuses nothing that
the gateway accepts and validates nothing: a strict gateway has done so at start. It knows neither
histories nor verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scenarios.declared.chat import DeclaredChat
from scenarios.declared.providers import Provider, read_provider
from scenarios.declared.reading import nanos_of, section, size_of, span_us

__all__ = ["Account", "Declared"]

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Account:
    granted_nanos: int
    budget_nanos: int | None = None

    @property
    def cap_nanos(self) -> int:
        """What settled and held money together may reach."""
        return self.granted_nanos if self.budget_nanos is None else min(self.granted_nanos, self.budget_nanos)


@dataclass(frozen=True, eq=False)
class Declared:
    """Everything the checks take as given. Built by `read`, or from plain values in tests."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    callers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # caller → its accounts
    accounts: Mapping[str, Account] = field(default_factory=dict)
    billing: str = "embedded"  # embedded | remote
    billing_timeout_us: int = 5 * _SECOND_US
    billing_unreachable: str = "fail_closed"
    missing_usage: str = "hold"
    usage_above_hold: str = "charge_actual"
    task_without_verdict: str = "keep_reconciling"
    request_body_max: int = 1 << 20
    answer_body_max: int = 8 << 20
    connect_us: int = 5 * _SECOND_US
    read_us: int = 30 * _SECOND_US
    total_us: int = 60 * _SECOND_US
    in_flight: str = "conflict"  # conflict | attach
    in_flight_wait_us: int = 10 * _SECOND_US
    key_keep_us: int = 24 * 3600 * _SECOND_US
    sweep_every_us: int = 5 * _SECOND_US
    poll_after_us: int = 60 * _SECOND_US
    lease_us: int = 30 * _SECOND_US
    verdict_within_us: int = 3600 * _SECOND_US
    epoch_us: int = 0  # wall time of the history's instant 0: rows carry wall time, facts do not
    chat: DeclaredChat | None = None  # where there are models

    @property
    def answer_within_us(self) -> int:
        """The longest that a caller may wait for any answer, with room for the way there and back."""
        billing = self.billing_timeout_us if self.billing == "remote" else 0
        return self.total_us + self.in_flight_wait_us + 2 * billing + 10 * _SECOND_US

    @property
    def delivers_within_us(self) -> int:
        """After calm, how long a verdict may need to reach billing, and an orphan hold to be given back."""
        kept_off_us = max(self.lease_us, self.total_us, self.billing_timeout_us)
        return kept_off_us + 2 * self.sweep_every_us + 120 * _SECOND_US

    @property
    def ends_within_us(self) -> int:
        """After calm, how long the sweeper may need to look at a call again, and to end it."""
        return max(5 * self.poll_after_us + self.total_us + 60 * _SECOND_US, self.delivers_within_us)

    @classmethod
    def read(
        cls, config: Mapping[str, Any], *, grants: Mapping[str, int] | None = None, epoch_us: int = 0
    ) -> Declared:
        """From the gateway's configuration. `grants`: a remote service's accounts, in nano-dollars."""
        billing = section(config, "billing")
        policies, limits, timeouts = (section(config, part) for part in ("policies", "limits", "timeouts"))
        idempotency, reconcile = section(config, "idempotency"), section(config, "reconcile")
        accounts = {name: Account(amount) for name, amount in (grants or {}).items()}
        for name, one in section(billing, "accounts").items():
            budget = one.get("budget")
            accounts[name] = Account(nanos_of(one["grant"]), None if budget is None else nanos_of(budget))
        return cls(
            providers={
                name: read_provider(name, one)
                for name, one in section(config, "providers").items()
                if one.get("enabled", True)
            },
            callers={
                name: tuple(one.get("accounts", ())) for name, one in section(config, "callers").items()
            },
            accounts=accounts,
            billing=str(billing.get("kind", "embedded")),
            billing_timeout_us=span_us(billing, "timeout", cls.billing_timeout_us),
            billing_unreachable=str(policies.get("billing_unreachable", cls.billing_unreachable)),
            missing_usage=str(policies.get("missing_usage", cls.missing_usage)),
            usage_above_hold=str(policies.get("usage_above_hold", cls.usage_above_hold)),
            task_without_verdict=str(policies.get("task_without_verdict", cls.task_without_verdict)),
            request_body_max=size_of(limits, "request_body", cls.request_body_max),
            answer_body_max=size_of(limits, "answer_body", cls.answer_body_max),
            connect_us=span_us(timeouts, "connect", cls.connect_us),
            read_us=span_us(timeouts, "read", cls.read_us),
            total_us=span_us(timeouts, "total", cls.total_us),
            in_flight=str(idempotency.get("in_flight", cls.in_flight)),
            in_flight_wait_us=span_us(idempotency, "wait", cls.in_flight_wait_us),
            key_keep_us=span_us(idempotency, "keep", cls.key_keep_us),
            sweep_every_us=span_us(reconcile, "every", cls.sweep_every_us),
            poll_after_us=span_us(reconcile, "poll_after", cls.poll_after_us),
            lease_us=span_us(reconcile, "lease", cls.lease_us),
            verdict_within_us=span_us(reconcile, "verdict_within", cls.verdict_within_us),
            epoch_us=epoch_us,
            chat=DeclaredChat.read(config),
        )
