"""Proof that the checks bite: each hazard brought back, one at a time, until a check says so.

A sabotage replaces one function, method or class of the gateway, by reference, for the length of a run; the
gateway has no seam for it. See `swap` for what one is, the files by theme for which there are, `hunt` for
how a witness is looked for, and `session` for the command.
"""

from __future__ import annotations

from scenarios.sabotage.session import run_sabotage

__all__ = ["run_sabotage"]
