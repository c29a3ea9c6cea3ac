"""What callers were told: how their tasks ended, read out of the answers by the declared paths.

The bytes are those that a client received. Says nothing about whether it was right to tell them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scenarios.checks.parts import Exchange
from scenarios.checks.reading import first_at, read_json
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Provider
from scenarios.history import History

__all__ = ["Told", "Verdicts", "upstream_path"]


def upstream_path(exchange: Exchange, provider: str) -> str:
    """The provider's path that a client's request asked for, without its query."""
    return exchange.sent.path.partition("?")[0].removeprefix(f"/api/proxy/{provider}") or "/"


@dataclass(frozen=True, slots=True)
class Told:
    """A caller was told how a task ended."""

    exchange: Exchange
    success: bool

    @property
    def t_us(self) -> int:
        return self.exchange.ended_us or 0


@dataclass(slots=True)
class Verdicts:
    """Every telling of an end, by provider and task id, in the order in which the answers arrived."""

    told: dict[tuple[str, str], list[Told]] = field(default_factory=dict)

    @classmethod
    def of(cls, history: History, declared: Declared) -> Verdicts:
        return history.derived((cls, declared), lambda: cls._made(history, declared))

    @classmethod
    def _made(cls, history: History, declared: Declared) -> Verdicts:
        verdicts = cls()
        for exchange in View.of(history, declared).exchanges:
            got = exchange.answered
            if exchange.op != "poll" or exchange.task_id is None or got is None or got.outcome != "ok":
                continue
            provider = declared.providers.get(exchange.sent.provider or "")
            success = None if provider is None else _verdict_in(exchange, provider)
            if success is not None and provider is not None:
                key = (provider.name, exchange.task_id)
                verdicts.told.setdefault(key, []).append(Told(exchange, success))
        for tellings in verdicts.told.values():
            tellings.sort(key=lambda one: one.t_us)
        return verdicts


def _verdict_in(exchange: Exchange, provider: Provider) -> bool | None:
    """Whether the answer says success or failure; None where it says neither."""
    query = provider.query_for(exchange.sent.method, upstream_path(exchange, provider.name))
    if query is None or query.status is None or exchange.got is None:
        return None
    body = read_json(exchange.got.body)
    if query.failure_when is not None and first_at(query.failure_when, body) not in (None, ""):
        return False  # whatever the status word says
    status = first_at(query.status, body)
    if not isinstance(status, str):
        return None
    if status in query.success:
        return True
    return False if status in query.failure else None
