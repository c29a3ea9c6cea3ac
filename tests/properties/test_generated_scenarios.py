"""Whatever providers, billing, networks, stores, replicas and clients do, every promise holds, of chats too.

Whole scenarios are drawn, played and judged by every check. What fails is shrunk, printed as a scenario
file and kept in `.refgate/failures`. How many are played is the Hypothesis profile's `max_examples`; which
ones, only the number of the shard decides.
"""

from typing import Literal

import pytest
from hypothesis import settings

from scenarios.generate.explore import batches, explore, tell
from scenarios.reference import Reference

SHARDS = 10


@pytest.mark.parametrize("of", ["tasks", "chat"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_happens(shard: int, of: Literal["tasks", "chat"]) -> None:
    """Every promise holds in every scenario that can be drawn."""
    todo = batches(max(1, settings().max_examples // SHARDS), Reference(), first=1_000 * shard, of=of)
    found = [tell(one) for hunted in explore(todo) for one in hunted.found]
    assert found == [], "\n\n".join(found)
