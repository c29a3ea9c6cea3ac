"""The promises, and the judgement: every check over one history.

A check is one pure function over what was seen and what is declared. `judge` runs them all; one that
raises is a broken check and says so, it is no pass.
"""

from __future__ import annotations

from collections.abc import Collection

from scenarios.checks import (
    answers,
    attempts,
    budget,
    charging,
    chat_attempts,
    chat_config,
    chat_parity,
    chat_rates,
    chat_record,
    chat_routing,
    chat_streams,
    errors,
    headers,
    idempotency,
    money,
    record,
    secrets,
    tenants,
)
from scenarios.checks.finding import Breach, Check, Finding, Function, Verdict
from scenarios.checks.record import same_history
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["Breach", "Check", "Finding", "Function", "Verdict", "all_checks", "judge", "same_history"]


def all_checks() -> tuple[Check, ...]:
    """Every promise, a theme after the other."""
    return (
        *money.CHECKS,
        *charging.CHECKS,
        *budget.CHECKS,
        *chat_parity.CHECKS,
        *idempotency.CHECKS,
        *attempts.CHECKS,
        *chat_attempts.CHECKS,
        *chat_routing.CHECKS,
        *chat_rates.CHECKS,
        *answers.CHECKS,
        *chat_streams.CHECKS,
        *secrets.CHECKS,
        *headers.CHECKS,
        *tenants.CHECKS,
        *errors.CHECKS,
        *chat_record.CHECKS,
        *chat_config.CHECKS,
        *record.CHECKS,
    )


def judge(history: History, declared: Declared, *, skip: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every check's finding about this history, in the order of `all_checks`."""
    return tuple(_judged(one, history, declared) for one in all_checks() if one.name not in skip)


def _judged(one: Check, history: History, declared: Declared) -> Finding:
    try:
        return one.function(history, declared)
    except Exception as error:  # whatever it was, the fault is the check's, and the reader must know
        return Finding(one.name, Verdict.ERROR, f"the check itself failed: {type(error).__name__}: {error}")
