"""An answer in one piece: what a provider said, what a caller is told, what is kept to be told again."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as first sent to a caller, kept for replay. Headers: lower-case names, order kept."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
