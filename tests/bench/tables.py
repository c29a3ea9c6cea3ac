"""The figures of real sockets as one table, each gateway beside what it is measured against."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tests.bench.side_by_side import Figures, Turn

__all__ = ["print_served"]

_NAMES = {
    "direct": "(a) direct",
    "httpx": "(b) Starlette, httpx on httpx-aiohttp",
    "aiohttp": "(c) Starlette, aiohttp",
    "refgate": "(d) refgate serve",
}


def print_served(console: Console, figures: Mapping[Turn, Figures], about: str) -> None:
    """One row for each gateway, kind of answer and number of callers; below, the ratios and their aims."""
    table = Table(title=f"real sockets, the gateway on one core; {about}")
    table.add_column("answers")
    table.add_column("callers", justify="right")
    table.add_column("gateway")
    for name in ("CPU µs a call", "calls/s", "p50 +ms", "p99 +ms", "first byte +ms"):
        table.add_column(name, justify="right")
    for turn, one in figures.items():
        bare = figures[Turn("direct", turn.callers, turn.stream)]
        table.add_row(
            "stream" if turn.stream else "whole",
            str(turn.callers),
            _NAMES[turn.variant],
            f"{one.cpu_us:.0f}" if one.cpu_us else "",
            f"{one.per_s:.0f}",
            *(
                f"{(got if turn.variant == 'direct' else got - least) / 1000:.2f}"
                for got, least in (
                    (one.p50_us, bare.p50_us),
                    (one.p99_us, bare.p99_us),
                    (one.first_us, bare.first_us),
                )
            ),
            end_section=turn.variant == "refgate",
        )
    console.print(table)
    console.print("+ms: beyond (a) at as many callers; of (a) itself, the whole time")

    table = Table(title="CPU per call, side by side")
    for name in ("answers", "callers", "d / b (aim 1.0)", "d / c (stretch 1.5)"):
        table.add_column(name, justify="right")
    for turn, one in figures.items():
        if turn.variant == "refgate":
            b, c = (figures[Turn(kind, turn.callers, turn.stream)].cpu_us for kind in ("httpx", "aiohttp"))
            table.add_row(
                "stream" if turn.stream else "whole",
                str(turn.callers),
                f"{one.cpu_us / b:.2f}",
                f"{one.cpu_us / c:.2f}",
            )
    console.print(table)
    few, many = (figures.get(Turn("refgate", callers, False)) for callers in (16, 64))
    if few is not None and many is not None:
        console.print(f"(d) from 16 to 64 callers: × {many.cpu_us / few.cpu_us:.2f} (aim: flat)")
