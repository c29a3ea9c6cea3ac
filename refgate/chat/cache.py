"""Complete, successful answers kept for the same question of the same account.

What may be kept, and what makes two questions the same, is decision 0009: the request says itself that it
wants no chance in its answer (`temperature` 0, or a `seed`), all of it can be said in the canonical request
(so that the canonical answer holds all of what was told), and nothing it asks about lies elsewhere. An answer
is kept whole or not at all, and told again in either form, with the teller's own id, model name and time.

Bounded in entries, the least lately used going first, and in the size of each. Pure: the caller says what
time it is. Says nothing of who may ask, nor of what is written down when a kept answer was given.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refgate.config.chat import Cache as Rule
from refgate.dialects.assembly import Assembly, extent
from refgate.dialects.canonical import (
    Malformed,
    Media,
    Part,
    Protocol,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.json_text import dumps, loads
from refgate.dialects.registry import read_request
from refgate.dialects.spoken import Answer, Broke, Event, Finish, Usage

__all__ = ["Cache", "Heard", "Kept", "may_be_kept"]

_WHOLE = frozenset({Finish.STOP, Finish.STOP_SEQUENCE, Finish.TOOL_CALLS})

# Only how the answer is told depends on these: a kept one is told either way.
_OF_THE_TELLING = ("stream", "stream_options")

# These do not change what is said, so that they need not be sayable to other providers. They stay in the key.
_ASIDE = frozenset(
    {"metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and what whoever asked first was charged for it."""

    answer: Answer
    amount_nanos: int


class Cache:
    """One replica's. A new process begins with none."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._entries: OrderedDict[str, tuple[int, Kept]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def key_of(self, *, account: str, protocol: Protocol, model: str, body: Mapping[str, Any]) -> str | None:
        """What the question is kept under; None where it is not for the cache.

        `body` is the caller's, numbers exact; `model` is the name the caller asked for, wherever it stood.
        """
        try:
            plain = {name: value for name, value in body.items() if name not in _ASIDE}
            request = read_request(protocol, plain, model=model)
            if not _leaves_nothing_to_chance(request) or _looks_elsewhere(request):
                return None
            asked = {name: value for name, value in body.items() if name not in _OF_THE_TELLING}
            text = dumps([account, protocol.value, model, _ordered(asked)])
        except (Malformed, Untranslatable, RecursionError, ValueError):  # the last: no chat protocol
            return None
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str, now_us: int) -> Kept | None:
        found = self._entries.get(key)
        if found is None:
            return None
        at_us, kept = found
        if not 0 <= now_us - at_us < self._rule.ttl_us:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return kept

    def put(self, key: str, kept: Kept, now_us: int) -> bool:
        """Whether it is kept. Being asked for again makes no answer younger."""
        if not may_be_kept(kept.answer) or _size(kept.answer) > self._rule.body:
            return False
        self._entries[key] = (now_us, kept)
        self._entries.move_to_end(key)
        if len(self._entries) > self._rule.entries:
            self._entries.popitem(last=False)
        return True

    def heard(self) -> Heard:
        """For a stream that may be kept when it is over."""
        return Heard(self._rule.body)

    def cost_nanos(self, kept: Kept) -> int:
        """What a hit costs, as declared: nothing, or what the first one to ask was charged."""
        return kept.amount_nanos if self._rule.hit == "full_price" else 0


class Heard:
    """Puts a stream together as it passes, and lets go of it once it is larger than may be kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._assembly: Assembly | None = Assembly()

    def take(self, event: Event) -> None:
        if self._assembly is None:
            return
        self._size += extent(event)  # never more than its bytes
        if self._size > self._most:
            self._assembly = None
        else:
            self._assembly.take(event)

    def answer(self) -> Answer | None:
        """The whole answer; None where the stream broke, has not ended, or was too large."""
        if self._assembly is None or self._assembly.ended is None:
            return None
        made = self._assembly.answer()
        return None if isinstance(made, Broke) else made


def may_be_kept(answer: Answer) -> bool:
    """Whether an answer is whole: said to its end, with nothing left out and its figures told.

    Cut at a length, filtered, refused or paused, it would be another one the next time.
    """
    return (
        answer.finish in _WHOLE
        and bool(answer.parts)
        and all(map(_is_sound, answer.parts))
        and not answer.notes
        and not answer.others
        and isinstance(answer.usage, Usage)
    )


def _is_sound(part: Part) -> bool:
    """No refusal, and no tool call that its caller cannot make."""
    if isinstance(part, ToolCall):
        try:
            return not part.arguments or isinstance(loads(part.arguments), dict)
        except ValueError:
            return False
    return not isinstance(part, Refusal)


def _leaves_nothing_to_chance(request: Request) -> bool:
    return request.temperature == 0 or request.seed is not None


def _looks_elsewhere(request: Request) -> bool:
    """Whether something is only pointed at, and may be something else the next time."""
    return any(_is_a_pointer(part) for message in request.messages for part in message.parts)


def _is_a_pointer(part: Part) -> bool:
    match part:
        case Media():
            return part.url is not None
        case ToolResult():
            return any(isinstance(one, Media) and one.url is not None for one in part.parts)
    return False


def _ordered(value: Any) -> Any:
    """The same JSON value with all members in order of their names."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_ordered(one) for one in value]
    return value


def _size(answer: Answer) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for part in answer.parts for text in _texts(part))


def _texts(part: Part) -> tuple[str, ...]:
    match part:
        case Text(text) | Refusal(text):
            return (text,)
        case Thinking(text, signature, redacted):
            return (text, signature or "", redacted or "")
        case ToolCall(call_id, name, arguments, mark):
            return (call_id, name, arguments, mark or "")
    return ()
