"""What is kept and told again: C1 whose answer it was · C2 answers that are none, or only one of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refgate.chat import cache
from refgate.chat.cache import Cache, Kept
from refgate.dialects.canonical import Protocol, Request
from refgate.dialects.spoken import Answer
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_WORDS = ("model", "messages", "input", "contents", "max_tokens")
_key_of = Cache.key_of
_get = Cache.get


def _anybodys(
    self: Cache, *, account: str, protocol: Protocol, model: str, body: Mapping[str, Any]
) -> str | None:
    """The same question has the same answer, whoever asks."""
    return _key_of(self, account="", protocol=protocol, model=model, body=body)


def _without_parameters(
    self: Cache, *, account: str, protocol: Protocol, model: str, body: Mapping[str, Any]
) -> str | None:
    """The same words are the same question, however they are to be answered."""
    if _key_of(self, account=account, protocol=protocol, model=model, body=body) is None:
        return None
    words = {name: body[name] for name in _WORDS if name in body}
    return _key_of(self, account=account, protocol=protocol, model=model, body={**words, "temperature": 0})


def _whatever_it_was(answer: Answer) -> bool:
    """An answer is an answer: cut at its length, filtered, refused."""
    return bool(answer.parts)


def _left_to_chance(request: Request) -> bool:
    """What has been said once may be said again."""
    return True


def _for_ever(self: Cache, key: str, now_us: int) -> Kept | None:
    """What is kept stays young."""
    found = self._entries.get(key)
    return None if found is None else found[1]


SABOTAGES = (
    Sabotage(
        "C1",
        "anybodys",
        "the key has no tenant: what one account was told another hears",
        Swap(Cache, _key_of, _anybodys),
        ("cache-honest",),
    ),
    Sabotage(
        "C1",
        "without-parameters",
        "the key has the words and not how they are to be answered",
        Swap(Cache, _key_of, _without_parameters),
        ("cache-honest",),
    ),
    Sabotage(
        "C2",
        "whatever-it-was",
        "answers that were cut at their length, filtered or refused are kept",
        Swap(cache, cache.may_be_kept, _whatever_it_was),
        ("cache-honest",),
    ),
    Sabotage(
        "C2",
        "left-to-chance",
        "answers that chance had a part in are told again",
        Swap(cache, cache._leaves_nothing_to_chance, _left_to_chance),
        ("cache-honest",),
    ),
    Sabotage(
        "C2",
        "for-ever",
        "an answer is told again long after its time",
        Swap(Cache, _get, _for_ever),
        ("cache-honest",),
    ),
)
