"""Which scenarios a person means: paths, names of the built-in suite, and `-k` expressions.

A name is the path within the folder it was found in, without its ending: `money/grant-exhausted`.
`-k` takes words joined by `and`, `or`, `not` and parentheses; a word matches a part of the name or a hazard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from scenarios.load import Loaded, find, load
from scenarios.mistakes import BadScenario, Problem

__all__ = ["SUITE", "BadExpression", "chosen", "matches", "place"]

SUITE = Path(__file__).parent / "suite"

_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")


class BadExpression(ValueError):
    """What follows -k cannot be read."""


def chosen(paths: Sequence[str], expression: str | None) -> list[Loaded]:
    """The scenarios asked for, in order. Every mistake in every file is told at once."""
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    for name, path in _named([place(text) for text in paths] or [SUITE]):
        try:
            loaded.append(load(path, name=name))
        except BadScenario as bad:
            problems += bad.problems
    if problems:
        raise BadScenario(problems)
    if expression is None:
        return loaded
    return [one for one in loaded if matches(expression, (one.name, *one.scenario.hazards))]


def place(text: str) -> Path:
    """A path, or a name of the built-in suite."""
    path = Path(text)
    if path.exists():
        return path
    inside = (SUITE / text, SUITE / f"{text}.yaml")
    return next((one for one in inside if one.exists()), path)


def _named(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    named: list[tuple[str, Path]] = []
    for root in paths:
        for path in find([root]):
            base = SUITE if path.is_relative_to(SUITE) else root if root.is_dir() else path.parent
            named.append((path.relative_to(base).with_suffix("").as_posix(), path))
    return named


def matches(expression: str, words: Iterable[str]) -> bool:
    """Whether the words satisfy the expression."""
    reader = _Reader(expression, [word.lower() for word in words])
    value = reader.either()
    if reader.token is not None:
        raise BadExpression(f"-k {expression!r}: did not expect {reader.token!r}")
    return value


class _Reader:
    """Reads and evaluates in one go: `or` binds looser than `and`, `and` looser than `not`."""

    def __init__(self, expression: str, words: list[str]) -> None:
        self._expression = expression
        self._tokens = iter(_TOKEN.findall(expression))
        self._words = words
        self.token: str | None = next(self._tokens, None)

    def either(self) -> bool:
        value = self._both()
        while self._took("or"):
            value = self._both() or value
        return value

    def _both(self) -> bool:
        value = self._one()
        while self._took("and"):
            value = self._one() and value
        return value

    def _one(self) -> bool:
        if self._took("not"):
            return not self._one()
        if self._took("("):
            value = self.either()
            if not self._took(")"):
                raise BadExpression(f"-k {self._expression!r}: a parenthesis is not closed")
            return value
        if self.token in (None, ")", "and", "or"):
            raise BadExpression(
                f"-k {self._expression!r}: a word is missing before {self.token or 'the end'}"
            )
        word = str(self.token).lower()
        self.token = next(self._tokens, None)
        return any(word in one for one in self._words)

    def _took(self, token: str) -> bool:
        if self.token != token:
            return False
        self.token = next(self._tokens, None)
        return True
