"""The promises as a list: theme, name, statement; those of the checks, and the runner's own."""

from __future__ import annotations

from scenarios import sound
from scenarios.checks import all_checks

__all__ = ["promises"]


def promises() -> list[tuple[str, str, str]]:
    """Every promise that a run is judged by, in the order of the reports."""
    found = [(one.theme, one.name, one.statement) for one in all_checks()]
    found.append(("record", sound.NAME, sound.STATEMENT))
    return found
