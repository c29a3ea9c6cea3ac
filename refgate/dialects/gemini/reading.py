"""A provider's streamGenerateContent stream (alt=sse) → events.

Each chunk is a whole response object; usage is cumulative, the last one stands. There is no closing event:
a stream without a finish reason was cut.
"""

from __future__ import annotations

from typing import Any

from refgate.dialects.canonical import Text, Thinking, ToolCall
from refgate.dialects.faults import broken, fault_in_body, truncated
from refgate.dialects.gemini.answer import end_of, read_chunk, text_of
from refgate.dialects.json_text import as_list, as_map
from refgate.dialects.spoken import (
    Began,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Fault,
    Finish,
    OtherSaid,
    TextSaid,
    ThoughtSaid,
)
from refgate.dialects.sse import Frame
from refgate.dialects.usage import read_gemini
from refgate.dialects.watch import Watch, parsed

__all__ = ["StreamReader"]


class StreamReader(Watch):
    """Reads a stream; `call_prefix` makes ids for calls that come without one.

    The candidate that speaks first is the answer; others are counted, and must end as well.
    """

    def __init__(self, *, call_prefix: str) -> None:
        super().__init__()
        self._prefix = call_prefix
        self._calls = 0
        self._word: str | None = None
        self._main: int | None = None
        self._others: dict[int, bool] = {}  # further candidates, and whether they ended

    def read(self, frame: Frame) -> list[Event]:
        body = parsed(frame)
        if body is None:
            return self.broke(broken("a chunk is not a JSON object")) if frame.closed else []
        if body.get("usageMetadata") is not None:
            self.counted(read_gemini(body["usageMetadata"]))
        fault = fault_in_body(body)
        if fault is not None:
            return self.broke(fault)
        mine, others = self._apart(body)
        chunk = read_chunk(body, mine, call_prefix=self._prefix, calls_before=self._calls)
        self.served(chunk.model, chunk.tier)
        if chunk.left_out:
            self.note("parts_left_out")
        events: list[Event] = []
        if not self.began:
            self.began = True
            events.append(Began(chunk.id, self.model))
        for part in chunk.parts:
            match part:
                case Text(text) if text:
                    events.append(TextSaid(text))
                case Thinking(text) if text:
                    events.append(ThoughtSaid(text))
                case ToolCall(call_id, name, arguments, mark):
                    events += [CallBegan(self._calls, call_id, name, mark), CallSaid(self._calls, arguments)]
                    self._calls += 1
        if chunk.word is not None:
            self._word = chunk.word
        self.over = self._word is not None and all(self._others.values())
        return [*events, *others]

    def _apart(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
        """The candidate that is the answer, and what the others say."""
        mine: dict[str, Any] = {}
        said: list[Event] = []
        for one in map(as_map, as_list(body.get("candidates"))):
            given = one.get("index")
            index = given if isinstance(given, int) else 0
            if self._main is None:
                self._main = index
            if index == self._main:
                mine = one
                continue
            self._others[index] = self._others.get(index, False) or one.get("finishReason") is not None
            if text := text_of(one):
                said.append(OtherSaid(index, text))
        return mine, said

    def closing(self) -> list[Event]:
        if not self.over:
            return self.broke(truncated())
        finish = end_of(self._word, called=self._calls > 0)
        if isinstance(finish, Fault):
            return self.broke(finish)
        if finish is None:
            self.note("finish_unknown")
        return [
            Done(
                finish or Finish.STOP,
                self.metered,
                self.model,
                service_tier=self.service_tier,
                notes=self.notes,
            )
        ]
