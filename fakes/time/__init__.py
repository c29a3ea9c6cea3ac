"""Virtual time: run asyncio code deterministically, as fast as it computes.

`run_virtual(main, seed=…)` plays `main()` on a loop whose clock jumps, with every leak of
determinism closed or refused (docs/determinism.md). Owners are simulated processes whose power can
be cut at any step. Knows nothing of networks, providers or gateways.
"""

from fakes.time.errors import (
    Deadlock,
    Livelock,
    OutsideWorld,
    SimulationError,
    StepsExceeded,
    TimeExceeded,
    Unhandled,
)
from fakes.time.loop import SimLoop, current_loop
from fakes.time.options import Options
from fakes.time.owners import Owner, PowerCut, current_owner
from fakes.time.run import run_virtual
from fakes.time.streams import Streams

__all__ = [
    "Deadlock",
    "Livelock",
    "Options",
    "OutsideWorld",
    "Owner",
    "PowerCut",
    "SimLoop",
    "SimulationError",
    "StepsExceeded",
    "Streams",
    "TimeExceeded",
    "Unhandled",
    "current_loop",
    "current_owner",
    "run_virtual",
]
