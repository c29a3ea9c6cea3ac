"""Why a simulated run stops.

* SimulationError
  x Deadlock       (nothing can ever run again)
  x Livelock       (much runs, and no time passes)
  x TimeExceeded   (the next event lies beyond the ceiling on virtual time)
  x StepsExceeded  (the ceiling on steps is reached)
  x OutsideWorld   (code asked for something that is not in the simulation)
  x Unhandled      (the run ended, but something failed in it and nobody looked)

The first four end the run where it stands: no `finally` of the simulated code decides the verdict.
Each carries the virtual time and, where it helps, the tasks that wait and where.
"""

from __future__ import annotations

__all__ = [
    "Deadlock",
    "Livelock",
    "OutsideWorld",
    "SimulationError",
    "StepsExceeded",
    "TimeExceeded",
    "Unhandled",
]


class SimulationError(Exception):
    """The simulated run cannot go on, or cannot be trusted."""


class Deadlock(SimulationError):
    """No step is ready and no timer is set, and the run is not over.

    If you meet this, the tasks named wait for one another, or for a thing outside the simulation.
    """


class Livelock(SimulationError):
    """Steps follow one another for ever at one instant.

    If you meet this, the steps named call each other without ever waiting for time to pass.
    """


class TimeExceeded(SimulationError):
    """The next timer is due beyond `Options.time_max_us`."""


class StepsExceeded(SimulationError):
    """The run took more than `Options.steps_max` steps."""


class OutsideWorld(SimulationError):
    """Simulated code reached for a socket, a process, a thread: a thing that no seed decides.

    The message names a remedy. The run fails even where the code swallows this error.
    """


class Unhandled(SimulationError, ExceptionGroup[Exception]):
    """Failures inside the run that nobody retrieved: tasks nobody awaited, callbacks that raised."""
