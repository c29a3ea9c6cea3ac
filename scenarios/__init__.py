"""Scenarios: who is there, what breaks, what must come of it; and the engine that plays them.

Load a file (`scenarios.load`) or build a `Scenario`; `play` it with a seed against a `Gateway`; look at
the `Run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.checks import Finding, Verdict, all_checks
    from scenarios.history import History
    from scenarios.mistakes import BadScenario
    from scenarios.model.scenario import Scenario, schema, to_yaml
    from scenarios.run import Run, play
    from scenarios.world.doors import Doors, Gateway

__all__ = [
    "BadScenario",
    "Doors",
    "Finding",
    "Gateway",
    "History",
    "Run",
    "Scenario",
    "Verdict",
    "all_checks",
    "play",
    "schema",
    "to_yaml",
]

_HOMES = {
    "checks": ("Finding", "Verdict", "all_checks"),
    "world.doors": ("Doors", "Gateway"),
    "history": ("History",),
    "mistakes": ("BadScenario",),
    "model.scenario": ("Scenario", "schema", "to_yaml"),
    "run": ("Run", "play"),
}


def __getattr__(name: str) -> Any:
    # The whole engine stands behind these names; its own modules are imported without it.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"scenarios.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
