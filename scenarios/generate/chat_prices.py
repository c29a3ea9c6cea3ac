"""What models cost in a drawn scenario: the suite's prices, dearer ones, tiers, fees, and prices by date.

The clock of a world begins on 2026-01-05, so that a price may change, or begin, in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hypothesis.strategies import DrawFn

from scenarios.generate.plain import Plain, either, fields, sometimes

__all__ = ["draw_prices"]

_SOON = ("2026-01-05T00:00:10", "2026-01-05T00:00:01", "2026-01-05T00:01:00")
_USUAL: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "gpt-4o-mini": {"input": "0.15", "output": "0.60", "cache_read": "0.075"},
        "claude-haiku-4-5": {"input": "1", "output": "5", "cache_read": "0.10"},
        "gemini-2.5-flash": {"input": "0.30", "output": "2.50", "cache_read": "0.03"},
    }
)
_DEARER = fields(input=either("3", "0", "0.000001", "123.456789"), output=either("15", "0", "0.37", "1000"))
_MORE = fields(
    reasoning=sometimes(either("7.5", "0")),
    input_audio=sometimes(either("10", "0")),
    output_audio=sometimes(either("20")),
    cache_write_5m=sometimes(either("1.25", "0")),
    cache_write_1h=sometimes(either("2")),
    request=sometimes(either("0.001", "0.000000001", "0.02")),
    web_search=sometimes(either("0.01")),
)
_EDGE = either(30, 1, 100, 4_000)
_HOW = either("more", "tiers", "changes", "begins")
_WHEN = either(*_SOON)
_SNAPSHOT = either(*[None] * 15, "genai-prices")
_CHANGED = either(False, False, False, True)


def draw_prices(draw: DrawFn) -> Plain:
    """The parts of a configuration that say what is otherwise than in the suite's."""
    prices = {name: _otherwise(draw, usual) for name, usual in _USUAL.items() if _CHANGED(draw)}
    snapshot = _SNAPSHOT(draw)
    return {"prices": prices, **({"price_snapshot": snapshot} if snapshot else {})}


def _otherwise(draw: DrawFn, usual: Mapping[str, str]) -> Plain | list[Plain]:
    dearer = _DEARER(draw)
    match _HOW(draw):
        case "more":
            return {**_MORE(draw), **dearer}
        case "tiers":
            return {**usual, "tiers": [{"above": _EDGE(draw), **dearer}]}
        case "changes":
            return [dict(usual), {"from": _WHEN(draw), **dearer}]
        case _:
            return [{"from": _WHEN(draw), **dearer}]
