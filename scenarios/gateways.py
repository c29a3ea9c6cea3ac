"""The gateway configuration a scenario runs: found by name or given in the file, then overridden.

Named files live in `scenarios/suite/gateways/`. Configurations are plain mappings here: what they mean
is the gateway's business. Canary secrets stand in for every `{env: NAME}`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from scenarios.declared.reading import section
from scenarios.model.scenario import Scenario
from scenarios.yamlish import Badly, read

__all__ = [
    "CANARY_ADMIN",
    "CANARY_BILLING",
    "FOLDER",
    "PROBE",
    "NoSuchGateway",
    "caller_of",
    "canary_of_caller",
    "canary_of_provider",
    "environ",
    "gateway_config",
    "models",
    "names",
    "with_probe",
]

FOLDER = Path(__file__).parent / "suite" / "gateways"
PROBE = "probe"
"""A caller and account that the world adds, for the plain calls after the faults."""

CANARY_ADMIN = "canary-admin"
CANARY_BILLING = "canary-billing"


class NoSuchGateway(ValueError):
    """No gateway configuration has this name, or it is not a mapping."""


def names() -> list[str]:
    """The configurations that come with the suite."""
    return sorted(path.name for path in FOLDER.glob("*.yaml"))


@lru_cache(maxsize=64)
def _named(name: str) -> dict[str, Any]:
    path = FOLDER / name
    if path.parent != FOLDER or not path.is_file():
        raise NoSuchGateway(f"no gateway configuration {name!r}; there are: {', '.join(names()) or 'none'}")
    try:
        found, _ = read(path.read_text(encoding="utf-8"))
    except Badly as broken:
        raise NoSuchGateway(f"{name}, line {broken.line}: {broken.problem}") from broken
    if not isinstance(found, dict):
        raise NoSuchGateway(f"{name} is not a mapping")
    return found


def gateway_config(scenario: Scenario) -> dict[str, Any]:
    """The scenario's gateway configuration with its overrides: a mapping of the caller's own."""
    config = scenario.gateway.config
    found = copy.deepcopy(_named(config) if isinstance(config, str) else config)
    _merge(found, scenario.gateway.override)
    return found


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        here = into.get(key)
        if isinstance(here, dict) and isinstance(value, Mapping):
            _merge(here, value)
        else:
            into[key] = copy.deepcopy(value)


def with_probe(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with one more caller, whose calls meet nobody else's money."""
    _add(config, "callers", {"key": {"env": "PROBE_KEY"}, "accounts": [PROBE]})
    billing = config.get("billing")
    if isinstance(billing, dict) and billing.get("kind", "embedded") == "embedded":
        _add(billing, "accounts", {"grant": "1000000.00"})
    return config


def _add(config: dict[str, Any], part: str, probe: Mapping[str, Any]) -> None:
    there = config.setdefault(part, {})
    if isinstance(there, dict):  # else the gateway says what is wrong with it
        there[PROBE] = probe


def models(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The models that the configuration serves, by name."""
    return section(config, "models")


def canary_of_provider(name: str) -> str:
    return f"canary-provider-{name}"


def canary_of_caller(name: str) -> str:
    return f"canary-caller-{name}"


def caller_of(config: Mapping[str, Any], account: str) -> str | None:
    """The caller who may bill this account: by the account's own name, else the first that lists it, or
    a glob that takes it; None where nobody may."""
    callers = section(config, "callers")
    if account in callers:
        return account
    for name in callers:
        accounts = section(callers, name).get("accounts")
        if isinstance(accounts, list) and any(fnmatchcase(account, str(one)) for one in accounts):
            return str(name)
    return None


def environ(config: Mapping[str, Any]) -> dict[str, str]:
    """Every environment variable that the configuration names, each with its own canary as the value."""
    found: dict[str, str] = {}
    for path, name in _env_names(config, ()):
        match path:
            case ("providers" | "backends", provider, *_):
                found[name] = canary_of_provider(provider)
            case ("callers", caller, *_):
                found[name] = canary_of_caller(caller)
            case ("admin", *_):
                found[name] = CANARY_ADMIN
            case ("billing", *_):
                found[name] = CANARY_BILLING
            case _:
                found[name] = f"canary-{name.lower()}"
    return found


def _env_names(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(value, Mapping):
        return
    name = value.get("env")
    if isinstance(name, str) and len(value) == 1:
        yield path, name
        return
    for key, inner in value.items():
        yield from _env_names(inner, (*path, str(key)))
