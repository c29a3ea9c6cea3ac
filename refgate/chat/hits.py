"""An answer from the cache, told again: as a stream or whole, under its own id, at the declared price."""

from __future__ import annotations

from refgate.answer import Answer
from refgate.chat import telling
from refgate.chat.admission import open_row
from refgate.chat.cache import Cache, Kept
from refgate.chat.records import ChatEnd, ChatOutcome
from refgate.chat.settling import written
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.assembly import events_of
from refgate.dialects.registry import Spoken, stream_writer, write_answer
from refgate.dialects.spoken import Fault

__all__ = ["told_again"]

_HIT = (("x-cache", "HIT"),)


async def told_again(works: ChatWorks, call: Call) -> bool:
    """Whether the call was answered from the cache. Raises Denied where its account does not bear a hit."""
    cache = works.cache
    if cache is None:
        return False
    asked = call.asked
    call.cache_key = cache.key_of(
        account=asked.visitor.account, protocol=asked.protocol, model=asked.plain.model, body=asked.document
    )
    kept = None if call.cache_key is None else cache.get(call.cache_key, works.now_us())
    told = None if kept is None else _told(call, kept)
    if kept is None or told is None:
        return False
    await _booked(works, call, cache, kept)
    if asked.stream:
        await call.voice.begin((*telling.STREAM, *_HIT))
        await call.voice.end(told)
    else:
        await call.voice.whole(Answer(200, telling.JSON, told), _HIT)
    return True


def _told(call: Call, kept: Kept) -> bytes | None:
    """The bytes. None where the kept answer cannot be told in this form."""
    asked = call.asked
    spoken = Spoken(
        id=call.call_id,
        model=asked.plain.model,
        created_s=call.created_us // 1_000_000,
        asked=asked.document,
        include_usage=asked.plain.include_usage,
    )
    if asked.stream:
        writer = stream_writer(asked.protocol, spoken)
        return b"".join(writer.write(event) for event in events_of(kept.answer))
    body = write_answer(asked.protocol, kept.answer, spoken)
    return None if isinstance(body, Fault) else body


async def _booked(works: ChatWorks, call: Call, cache: Cache, kept: Kept) -> None:
    """The call's row from its beginning to its end: no backend hears of it."""
    call.hold_nanos = cache.cost_nanos(kept)
    await open_row(works, call)
    end = ChatEnd(
        outcome=ChatOutcome.CACHED,
        reason=ChatOutcome.CACHED.value,
        status=200,
        amount_nanos=call.hold_nanos,
        cache="hit",
    )
    await written(works, call, end, None)
