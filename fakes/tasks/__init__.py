"""Fake task providers: submit, poll, be billed.

`provider` runs the work and keeps the truth; a dialect says how one vendor words it on the wire.
"""

from __future__ import annotations

from fakes.tasks.dialect import Dialect
from fakes.tasks.dialects import DIALECTS, dialect_named
from fakes.tasks.plan import TaskPlan
from fakes.tasks.provider import TaskProvider

__all__ = ["DIALECTS", "Dialect", "TaskPlan", "TaskProvider", "dialect_named"]
