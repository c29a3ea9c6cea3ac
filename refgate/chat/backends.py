"""What this replica knows of its backends, shared by all calls: their health, and each model's lane.

Made once a start and lost with the process: another replica learns for itself, and so does the next start.
Makes a plan for a call; decides nothing itself.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from refgate.config.settings import Settings
from refgate.policy.declared import Pool
from refgate.policy.health import Health
from refgate.policy.plan import Plan

__all__ = ["Backends", "Drains"]


class Backends:
    def __init__(self, settings: Settings, chance: random.Random) -> None:
        chat = settings.chat
        self._chance = chance
        self._policy = chat.policy()
        self._models = settings.models
        self._pools = {name: model.policy_pools() for name, model in settings.models.items()}
        self._lanes = {name: chat.lane() for name in settings.models}
        self.health = {
            name: Health.of(name, chat.cooldown.rule(), chat.breaker.rule(), backend.rate())
            for name, backend in settings.backends.items()
        }

    def plan(self, model: str, places: Collection[tuple[str, str]], *, tokens: int, deadline_us: int) -> Plan:
        """One call's way through the pools of a model; only to those backends of those pools."""
        return Plan(
            pools=self._only(model, places),
            health=self.health,
            policy=self._policy,
            chance=self._chance,
            deadline_us=deadline_us,
            tokens=tokens,
            idempotent=self._models[model].idempotent,
            lane=self._lanes[model],
        )

    def _only(self, model: str, places: Collection[tuple[str, str]]) -> tuple[Pool, ...]:
        pools = self._pools[model]
        if len(places) == sum(len(pool.backends) for pool in pools):
            return pools
        kept = [
            replace(pool, backends=tuple(one for one in pool.backends if (pool.name, one[0]) in places))
            for pool in pools
            if any((pool.name, name) in places for name, _ in pool.backends)
        ]
        return tuple(kept)


class Drains:
    """How many streams are read on though their callers have left."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    def enter(self) -> bool:
        """Whether there is room for one more, which then is counted."""
        if self.count >= self._most:
            return False
        self.count += 1
        return True

    def leave(self) -> None:
        self.count -= 1
