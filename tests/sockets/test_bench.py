"""The benches run: one short round of each. Their figures are nobody's promise here."""

from __future__ import annotations

import io

from rich.console import Console

from tests.bench.chat import bare_chats, chats_through_the_gateway
from tests.bench.side_by_side import Turn, measure
from tests.bench.tables import print_served


def test_chats_on_the_virtual_loop() -> None:
    """The bare chain and the full gateway make the calls that they say."""
    for stream in (False, True):
        assert bare_chats(16, stream=stream) == 16
        assert chats_through_the_gateway(16, stream=stream).calls >= 16


def test_gateways_side_by_side_on_real_sockets() -> None:
    """Every variant answers, and the table says of each what it took."""
    figures = measure(rounds=1, seconds=0.1, callers=(2,))
    assert all(one.per_s > 0 for one in figures.values())
    assert all((one.cpu_us > 0) == (turn.variant != "direct") for turn, one in figures.items())
    out = io.StringIO()
    print_served(Console(file=out, width=200), figures, "a test")
    for words in ("direct", "httpx-aiohttp", "refgate serve", "d / b"):
        assert words in out.getvalue()
    assert Turn("refgate", 2, True) in figures
