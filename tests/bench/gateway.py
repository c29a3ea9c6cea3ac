"""The same calls through the whole of refgate: network, gateway, ledger, history and every check."""

from __future__ import annotations

from scenarios.model.scenario import Scenario
from scenarios.reference import Reference
from scenarios.run import Run, play

__all__ = ["busy", "through_the_gateway"]

_POLLS = 4  # a task is a submit and about so many polls


def busy(calls: int) -> Scenario:
    """A calm stretch of tasks that makes about `calls` calls of clients to the gateway."""
    tasks = max(1, calls // (1 + _POLLS))
    lanes = min(16, tasks)
    return Scenario.model_validate(
        {
            "about": "Tasks, one after another, side by side.",
            "gateway": {
                "config": "runninghub.yaml",
                "override": {"billing": {"accounts": {"alice": {"grant": "1000000.00"}}}},
            },
            "providers": {"rh": {"wire": "runninghub", "plan": {"takes": "5s", "queued": "1s"}}},
            "traffic": [
                {
                    "send": "task",
                    "provider": "rh",
                    "account": "alice",
                    "clients": lanes,
                    "times": tasks // lanes,
                    "poll": {"every": "2s"},
                    "spread": "2s",
                }
            ],
            "settle": "5m",
        }
    )


def through_the_gateway(calls: int) -> Run:
    """Play it and judge it; a run that does not hold is no measurement."""
    run = play(busy(calls), 0, gateway=Reference())
    if not run.holds:
        raise SystemExit(f"the run that is measured does not hold: {run.broken or run.unmet}")
    return run
