"""What `refgate sabotage` shows: hazard × what was changed × scenario × check, and the sum of it all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenarios.sabotage.hunt import Hunted
from scenarios.sabotage.swap import Sabotage

__all__ = ["Row", "as_json", "caught_hazards", "show"]

Row = tuple[Sabotage, Hunted]

_WIDTH = 150
"""Of the table where there is no terminal to say how wide it is."""

_RIGHT = ("seeds", "runs")


def caught_hazards(rows: Sequence[Row]) -> dict[str, bool]:
    """Each hazard that was tried, and whether every face of it was caught."""
    found: dict[str, bool] = {}
    for sabotage, hunted in rows:
        found[sabotage.hazard] = found.get(sabotage.hazard, True) and hunted.caught
    return found


def show(console: Console, rows: Sequence[Row], wall_s: float) -> None:
    """The table, what is wrong at length, and the last line."""
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(_table(rows))
    for sabotage, hunted in rows:
        if not hunted.caught:
            console.print(_complaint(sabotage, hunted))
    hazards = caught_hazards(rows)
    caught, colour = sum(hazards.values()), "green" if all(hazards.values()) else "red"
    faces = sum(hunted.caught for _, hunted in rows)
    console.print(
        f"[{colour}]{caught} of {len(hazards)} hazards caught[/] · {faces} of {len(rows)} sabotages · "
        f"{sum(hunted.runs for _, hunted in rows)} sabotaged runs in {wall_s:.1f}s"
    )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("hazard", "what was changed", "scenario", "check", *_RIGHT):
        table.add_column(column, justify="right" if column in _RIGHT else "left", overflow="fold")
    last = ""
    for sabotage, hunted in rows:
        hazard, last = ("" if sabotage.hazard == last else sabotage.hazard), sabotage.hazard
        catch = hunted.catch
        table.add_row(
            hazard,
            escape(sabotage.summary),
            "-" if catch is None else escape(catch.scenario),
            "survived" if catch is None else catch.check,
            str(hunted.seeds),
            str(hunted.runs),
            style="" if hunted.caught else "red",
        )
    return table


def _complaint(sabotage: Sabotage, hunted: Hunted) -> str:
    name = escape(sabotage.name)
    if hunted.catch is not None:
        accused = ", ".join(hunted.catch.accused)
        where = f"{escape(hunted.catch.scenario)}, seed {hunted.catch.seed}"
        return f"[red]{name}[/]: the honest gateway is accused in the same run ({where}): {accused}"
    wanted = " or ".join(sabotage.witnesses)
    noticed = f"; noticed only by {', '.join(hunted.others)}" if hunted.others else ""
    return f"[red]{name}[/] survived {hunted.runs} runs: never broken: {wanted}{noticed}"


def as_json(rows: Sequence[Row], wall_s: float) -> dict[str, Any]:
    """The same as a document."""
    hazards = caught_hazards(rows)
    return {
        "hazards": len(hazards),
        "caught": sum(hazards.values()),
        "wall_s": round(wall_s, 3),
        "sabotages": [
            {
                "hazard": sabotage.hazard,
                "name": sabotage.name,
                "changed": sabotage.summary,
                "witnesses": list(sabotage.witnesses),
                "caught": hunted.caught,
                "scenario": hunted.catch.scenario if hunted.catch else None,
                "seed": hunted.catch.seed if hunted.catch else None,
                "check": hunted.catch.check if hunted.catch else None,
                "sentence": hunted.catch.sentence if hunted.catch else None,
                "accused": list(hunted.catch.accused) if hunted.catch else [],
                "seeds": hunted.seeds,
                "runs": hunted.runs,
                "others": list(hunted.others),
            }
            for sabotage, hunted in rows
        ],
    }
